"""From what the lens saw of each item to tables: `lens.parquet`, `lens_layers.parquet` and `lens_items.parquet`.

Means come with the 95 % interval of a bootstrap over items. Nothing here needs the model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from spillover.stages.probe.lens_targets import Sought
from spillover.stages.probe.state_store import SavedStates
from spillover.stats.nulls import resampled_means, resamples, share_explained

if TYPE_CHECKING:
    import pandas as pd

Floats = NDArray[np.float64]
DRAWS = 1000
EDGES = (0.025, 0.975)


def lens_tables(
    saved: SavedStates,
    sought: Mapping[str, Sought],
    gold: Mapping[str, str],
    rng: np.random.Generator,
    *,
    layers: Sequence[int],
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """(lens, lens_layers, lens_items) of all languages. sought: what was looked for; gold: label by example id.
    layers: all of the model, which the lens reads whichever states are kept.

    lens: a row per language, layer and kind of words. `answer` and `wrong`: mass of the first tokens of the right label
    and of all others together; `random`: of as many random tokens as the answer has, and `random_share` of the answer
    that it explains; `answer_sequence`, `wrong_sequence`, `random_sequence`: probability of the exact words; `rank`:
    median rank of the right label's first token. NaN where two words share their first token; `reason` says so.
    lens_layers: `entropy` in bits, `energy`. Each value with `_low` and `_high`.
    lens_items: a row per language and item: `answer`, the label that wins in the end; the layer where it first leads
    (`leads_first`), and the one from which it leads up to the end (`leads_at`).
    """
    import pandas as pd

    tables: dict[str, list[pd.DataFrame]] = {"lens": [], "layers": [], "items": []}
    right_labels = [gold[example_id] for example_id in saved.example_ids]
    weights = resamples(len(right_labels), DRAWS, rng)
    for code in saved.languages:
        seen = {name: _read(saved, code, name) for name in ("first", "sequence", "control", "pool", "rank")}
        right = np.array([sought[code].labels.index(label) for label in right_labels])
        for k, kind in enumerate(sought[code].kinds):
            table = _kind(sought[code], k, seen, right, weights)
            tables["lens"].append(_label(table, layers, language=code, words=kind))
        both = {name: _read(saved, code, name) for name in ("entropy", "energy")}
        table = pd.DataFrame(_with_intervals(both, weights)).assign(n=len(right))
        tables["layers"].append(_label(table, layers, language=code))
        tables["items"].append(_items(saved.example_ids, code, sought[code], seen["sequence"], right_labels))
    lens, by_layer, items = (pd.concat(rows, ignore_index=True) for rows in tables.values())
    return lens, by_layer, items


def _read(saved: SavedStates, code: str, name: str) -> Floats:
    return np.asarray(saved.extra_of(code, f"lens.{name}"), dtype=np.float64)


def _label(table: pd.DataFrame, layers: Sequence[int], **columns: str) -> pd.DataFrame:
    for at, (name, value) in enumerate((columns | {"layer": ""}).items()):
        table.insert(at, name, list(layers) if name == "layer" else value)
    return table


def _kind(
    sought: Sought, k: int, seen: Mapping[str, Floats], right: NDArray[np.int64], weights: Floats
) -> pd.DataFrame:
    """One kind of words in one language: a row per layer."""
    import pandas as pd

    items = np.arange(len(right))
    first, sequence, control = (seen[name][:, :, k] for name in ("first", "sequence", "control"))
    sequence, control = np.exp(sequence), np.exp(control)
    counts = np.array([len(ids) for ids in sought.first[k]], dtype=np.float64)
    reason = "" if counts.all() else "words share their first token"
    if reason:
        first = np.full_like(first, np.nan)
    answer, answered = first[items, :, right], sequence[items, :, right]
    values = {
        "answer": answer,
        "wrong": first.sum(axis=2) - answer,
        "random": seen["pool"] * (counts[right][:, None] if not reason else np.nan),
        "answer_sequence": answered,
        "wrong_sequence": sequence.sum(axis=2) - answered,
        "random_sequence": control[items, :, right],
    }
    columns: dict[str, Any] = {**_with_intervals(values, weights)}
    for name in ("answer", "answer_sequence"):
        null = name.replace("answer", "random")
        columns[f"{null}_share"] = share_explained(columns[name], columns[null])
        columns[f"{name}_clears"] = columns[f"{name}_low"] > columns[f"{null}_high"]
    rank = seen["rank"][:, :, k]
    columns["rank"] = np.median(rank, axis=0)
    drawn = np.array([_weighted_median(rank, row) for row in weights])
    columns["rank_low"], columns["rank_high"] = np.quantile(drawn, EDGES, axis=0)
    tokens = np.array(sought.tokens[k], dtype=np.float64)[right].mean()
    return pd.DataFrame(columns).assign(tokens=tokens, shared_tokens=sought.shared[k], n=len(right), reason=reason)


def _with_intervals(values: Mapping[str, Floats], weights: Floats) -> dict[str, Floats]:
    """[items, layers] by name → the mean over items, and its interval, [layers] each."""
    columns: dict[str, Floats] = {}
    for name, rows in values.items():
        columns[name] = rows.mean(axis=0)
        columns[f"{name}_low"], columns[f"{name}_high"] = np.quantile(resampled_means(rows, weights), EDGES, axis=0)
    return columns


def _weighted_median(rows: Floats, weights: Floats) -> Floats:
    """[items, layers] and [items] weights of a resample → [layers]."""
    drawn = np.repeat(rows, weights.astype(int), axis=0)
    return np.asarray(np.median(drawn, axis=0))


def _items(
    example_ids: Sequence[str], code: str, sought: Sought, sequence: Floats, right_labels: Sequence[str]
) -> pd.DataFrame:
    import pandas as pd

    scores = sequence[:, :, sought.kinds.index(sought.asked)]
    final = scores[:, -1].argmax(axis=-1)
    own = np.take_along_axis(scores, final[:, None, None], axis=2)
    others = np.where(np.arange(scores.shape[2]) == final[:, None, None], -np.inf, scores)
    leads = own[:, :, 0] > others.max(axis=2)
    columns: dict[str, Any] = {
        "language": code,
        "example_id": list(example_ids),
        "gold": list(right_labels),
        "answer": [sought.labels[i] for i in final],
        "leads_first": leads.argmax(axis=1),
        "leads_at": leading_from(leads),
    }
    return pd.DataFrame(columns)


def leading_from(leads: NDArray[np.bool_]) -> NDArray[np.int64]:
    """[items, layers] → [items]: the first layer from which all are true; the last one where none are."""
    behind = np.flip(np.logical_and.accumulate(np.flip(leads, axis=1), axis=1), axis=1)
    return np.asarray(np.where(behind.any(axis=1), behind.argmax(axis=1), leads.shape[1] - 1))
