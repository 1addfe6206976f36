"""From what the lens measured of each item to tables: `lens.parquet`, `lens_layers.parquet` and `lens_items.parquet`.

Means come with the 95 % interval of a bootstrap over items. Nothing here needs the model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from spillover.core.types import Floats
from spillover.stages.probe.lens_targets import LensTargets
from spillover.stages.probe.state_store import SavedStates
from spillover.stats.nulls import share_explained
from spillover.stats.resampling import item_weights, percentile_interval, resampled_means, resampled_medians

if TYPE_CHECKING:
    import pandas as pd

RESAMPLES = 1000
LEVEL = 0.95


@dataclass(frozen=True)
class LensTables:
    """lens: a row per language, target set and layer. layers: per language and layer. items: per language and item."""

    lens: pd.DataFrame
    layers: pd.DataFrame
    items: pd.DataFrame


def lens_tables(
    saved: SavedStates,
    targets: Mapping[str, LensTargets],
    gold: Mapping[str, str],
    rng: np.random.Generator,
    *,
    layers: Sequence[int],
) -> LensTables:
    """The tables of all languages. targets: by language. gold: label by example id. layers: all of the model, which the
    lens reads whichever states are kept. Values are NaN where two words share their first token; `reason` says so."""
    import pandas as pd

    gold_labels = [gold[example_id] for example_id in saved.example_ids]
    weights = item_weights(len(gold_labels), RESAMPLES, rng)
    lens, by_layer, items = [], [], []
    for code in saved.languages:
        measured = {name: _read(saved, code, name) for name in ("first", "sequence", "control", "pool", "rank")}
        gold_index = np.array([targets[code].labels.index(label) for label in gold_labels])
        for k, name in enumerate(targets[code].sets):
            table = _target_set(targets[code], k, measured, gold_index, weights)
            lens.append(_with_keys(table, layers, language=code, words=name))
        per_layer = {name: _read(saved, code, name) for name in ("entropy", "energy")}
        table = pd.DataFrame(_with_intervals(per_layer, weights)).assign(n=len(gold_index))
        by_layer.append(_with_keys(table, layers, language=code))
        items.append(_items(saved.example_ids, code, targets[code], measured["sequence"], gold_labels))
    return LensTables(*(pd.concat(tables, ignore_index=True) for tables in (lens, by_layer, items)))


def _read(saved: SavedStates, code: str, name: str) -> Floats:
    return np.asarray(saved.extra_of(code, f"lens.{name}"), dtype=np.float64)


def _with_keys(table: pd.DataFrame, layers: Sequence[int], **keys: str) -> pd.DataFrame:
    """The table, a row per layer, with its keys and the layer as first columns."""
    for position, (name, value) in enumerate(keys.items()):
        table.insert(position, name, value)
    table.insert(len(keys), "layer", list(layers))
    return table


def _target_set(
    targets: LensTargets, k: int, measured: Mapping[str, Floats], gold_index: NDArray[np.int64], weights: Floats
) -> pd.DataFrame:
    """A row per layer for the k-th target set. measured: by name, [items, layers, ...] as `measure_batch` has it."""
    import pandas as pd

    items = np.arange(len(gold_index))
    first = measured["first"][:, :, k]
    sequence, control = np.exp(measured["sequence"][:, :, k]), np.exp(measured["control"][:, :, k])
    counts = np.array([len(tokens) for tokens in targets.first_tokens[k]], dtype=np.float64)
    reason = "" if counts.all() else "words share their first token"
    if reason:
        first = np.full_like(first, np.nan)
    answer, answer_sequence = first[items, :, gold_index], sequence[items, :, gold_index]
    values = {
        "answer": answer,
        "wrong": first.sum(axis=2) - answer,
        "random": measured["pool"] * (counts[gold_index][:, None] if not reason else np.nan),
        "answer_sequence": answer_sequence,
        "wrong_sequence": sequence.sum(axis=2) - answer_sequence,
        "random_sequence": control[items, :, gold_index],
    }
    columns: dict[str, Any] = {**_with_intervals(values, weights)}
    for name, null in (("answer", "random"), ("answer_sequence", "random_sequence")):
        columns[f"{null}_share"] = share_explained(columns[name], columns[null])
        columns[f"{name}_clears"] = columns[f"{name}_low"] > columns[f"{null}_high"]
    rank = measured["rank"][:, :, k]
    columns["rank"] = np.median(rank, axis=0)
    columns["rank_low"], columns["rank_high"] = percentile_interval(resampled_medians(rank, weights), LEVEL)
    tokens = np.array(targets.n_tokens[k], dtype=np.float64)[gold_index].mean()
    return pd.DataFrame(columns).assign(
        tokens=tokens, shared_tokens=targets.n_shared[k], n=len(gold_index), reason=reason
    )


def _with_intervals(values: Mapping[str, Floats], weights: Floats) -> dict[str, Floats]:
    """[items, layers] by name → the mean over items, and its interval, [layers] each."""
    columns: dict[str, Floats] = {}
    for name, rows in values.items():
        columns[name] = rows.mean(axis=0)
        columns[f"{name}_low"], columns[f"{name}_high"] = percentile_interval(resampled_means(rows, weights), LEVEL)
    return columns


def _items(
    example_ids: Sequence[str], code: str, targets: LensTargets, sequence: Floats, gold_labels: Sequence[str]
) -> pd.DataFrame:
    import pandas as pd

    scores = sequence[:, :, targets.sets.index(targets.asked)]
    final = scores[:, -1].argmax(axis=-1)
    final_scores = np.take_along_axis(scores, final[:, None, None], axis=2)[:, :, 0]
    others = np.where(np.arange(scores.shape[2]) == final[:, None, None], -np.inf, scores)
    leads = final_scores > others.max(axis=2)
    columns: dict[str, Any] = {
        "language": code,
        "example_id": list(example_ids),
        "gold": list(gold_labels),
        "answer": [targets.labels[i] for i in final],
        "leads_first": leads.argmax(axis=1),
        "leads_at": leading_from(leads),
    }
    return pd.DataFrame(columns)


def leading_from(leads: NDArray[np.bool_]) -> NDArray[np.int64]:
    """[items, layers] → [items]: the first layer from which on all are true; the last layer where there is none."""
    leads_to_end = np.flip(np.logical_and.accumulate(np.flip(leads, axis=1), axis=1), axis=1)
    return np.asarray(np.where(leads_to_end.any(axis=1), leads_to_end.argmax(axis=1), leads.shape[1] - 1))
