"""What goes along with an answer that turned: the probe's tables joined with correctness, item by item.

1. One row per language and item: right before and after; its cosine margin to its own translation in the reference
   language, and whether it finds it first, at one layer; the layer from which the answer leads in the lens.
2. Questions: did items that turned right (or wrong) move closer to their translation, or have their answer earlier,
   than items that did not turn? Ranks within the language, so that no language stands for another; and whole items
   exchanged over all languages, so that an item that turns in ten of them counts once. Holm over the questions.

The layer is the one with the highest mean MEXA before; what happened after has no say in it. All of it is what
goes together, never what causes what: the sentences claim no more.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from spillover.core.config import CompareConfig
from spillover.core.files import atomic
from spillover.core.languages import language, reference_language
from spillover.core.runs import Run
from spillover.core.types import Evaluation
from spillover.stages.compare.alignment_changes import alignment_changes
from spillover.stages.compare.format import records
from spillover.stages.compare.result import Comparison, Sentence, Topic
from spillover.stats.intervals import corrected
from spillover.stats.summary import hits

if TYPE_CHECKING:
    import pandas as pd

Floats = NDArray[np.float64]
# Margins are sums of many products: a difference below this is rounding, and the two tie.
TIE = 1e-9
FEWEST_TURNED = 5
TABLES = ("items", "questions", "alignment_changes")
TURNS = {"right": "became right", "wrong": "became wrong"}
MOVES = {
    "closer": "moved closer to their {reference} twin",
    "earlier": "have their answer lead at an earlier layer",
}


@dataclass(frozen=True)
class Explanation:
    """items: the joined table. questions: a row for each, with counts, shares, effect, p and Holm's p; NaN with a
    reason where too few turned. alignment_changes: see `latents`. The tables are empty when the models are others."""

    items: pd.DataFrame
    questions: pd.DataFrame
    alignment_changes: pd.DataFrame
    sentences: tuple[Sentence, ...]


def explained(
    run: Run,
    names: tuple[str, str],
    comparisons: Sequence[Comparison],
    before: Sequence[Evaluation],
    after: Sequence[Evaluation],
    *,
    config: CompareConfig,
    seed: int,
) -> list[Comparison]:
    """The comparisons with the sentences of the explanation after their own, where the probe looked at both models.
    Writes items.parquet, questions.parquet and alignment_changes.parquet into `<run>/compare`; removes older ones."""
    folder = run.path / "compare"
    for name in TABLES:
        (folder / f"{name}.parquet").unlink(missing_ok=True)
    old, new = ({side.task: side for side in sides} for sides in (before, after))
    result = []
    for found in comparisons:
        why = explain(run, names, old[found.task], new[found.task], config=config, seed=seed)
        if why is not None:
            found = replace(found, verdict=(*found.verdict, *why.sentences))
            for name in TABLES:
                if len(table := getattr(why, name)):
                    with atomic(folder / f"{name}.parquet") as partial:
                        table.to_parquet(partial, index=False)
        result.append(found)
    return result


def explain(
    run: Run, names: tuple[str, str], before: Evaluation, after: Evaluation, *, config: CompareConfig, seed: int
) -> Explanation | None:
    """The explanation of one task, from the run's tables; None when the probe has not looked at both sides of it."""
    folders = [run.path / "probe" / name for name in names]
    stages = run.manifest()["stages"]
    looked = [stages.get(f"probe/{name}", {}).get("settings", {}) for name in names]
    if any(own.get("task") != before.task for own in looked):
        return None
    if not all((folder / "alignment_items.parquet").exists() for folder in folders):
        return None
    apart = [
        name
        for name, own, side in zip(names, looked, (before, after), strict=True)
        if own["model"] != side.model.fingerprint
    ]
    if apart:
        text = f"Why cannot be asked: probe/{apart[0]} looked at another model than evaluate/{apart[0]}."
        return Explanation(_no_rows(), _no_rows(), _no_rows(), (Sentence(Topic.EXPLANATION.value, text),))
    pooling, layer = chosen_layer(folders[0])
    items = join_items(folders, pooling, layer, before, after)
    questions = ask(items, draws=config.draws, rng=np.random.default_rng(seed))
    changes = alignment_changes(*folders, level=config.level, rng=np.random.default_rng(seed))
    return Explanation(items, questions, changes, tuple(_sentences(questions, items, pooling, layer, config)))


def _no_rows() -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame()


def chosen_layer(folder: Path) -> tuple[str, int]:
    """(pooling, layer) with the highest MEXA, mean over languages, of the model before."""
    import pandas as pd

    table = pd.read_parquet(folder / "alignment.parquet")
    means = table[table["measure"] == "mexa"].groupby(["pooling", "layer"], sort=False)["value"].mean()
    best: Any = means.idxmax()
    return str(best[0]), int(best[1])


def join_items(folders: list[Path], pooling: str, layer: int, before: Evaluation, after: Evaluation) -> pd.DataFrame:
    """A row per language and item that both were probed and evaluated: `task`, `language`, `example_id`, and for before
    and after `correct`, `twin_first` (finds its translation first), `margin`, and `leads_at` where the lens has it.
    `turned`: right, wrong or "". `closer`, `earlier`: how far it moved, more is closer or earlier."""
    import pandas as pd

    joined: pd.DataFrame | None = None
    for name, folder, side in zip(("before", "after"), folders, (before, after), strict=True):
        table = pd.read_parquet(folder / "alignment_items.parquet")
        own = table[(table["pooling"] == pooling) & (table["layer"] == layer)]
        own = own.loc[own["other"] == reference_language(), ["language", "example_id", "retrieval", "margin"]]
        own = own.rename(columns={"retrieval": "twin_first"})
        lens = folder / "lens_items.parquet"
        own = own.merge(pd.read_parquet(lens, columns=["language", "example_id", "leads_at"])) if lens.exists() else own
        own = own.merge(_correct(side))
        own = own.rename(columns={c: f"{c}_{name}" for c in own if c not in ("language", "example_id")})
        joined = own if joined is None else joined.merge(own, on=["language", "example_id"])
    assert joined is not None
    right = [joined[f"correct_{name}"] == 1 for name in ("before", "after")]
    turned = np.where(~right[0] & right[1], "right", np.where(right[0] & ~right[1], "wrong", ""))
    joined = joined.assign(turned=turned, closer=joined["margin_after"] - joined["margin_before"])
    if "leads_at_before" in joined:
        joined["earlier"] = joined["leads_at_before"] - joined["leads_at_after"]
    joined.insert(0, "task", before.task)
    return joined


def _correct(side: Evaluation) -> pd.DataFrame:
    import pandas as pd

    return pd.concat(
        [
            pd.DataFrame({"language": code, "example_id": list(scores.example_ids), "correct": hits(scores)})
            for code, scores in side.scores.items()
        ],
        ignore_index=True,
    )


def ask(items: pd.DataFrame, *, draws: int, rng: np.random.Generator) -> pd.DataFrame:
    """A row per question: `turned`, `move`, counts of both groups, their shares and means, `effect`, the chance that an
    item that turned moved more than one of the same language that did not (0.5 is no difference), `p`, `holm_p`."""
    import pandas as pd

    rows = []
    for turned in TURNS:
        for move in MOVES:
            if move in items:
                rows.append({"turned": turned, "move": move} | _one(items, turned, move, draws, rng))
    table = pd.DataFrame(rows)
    return table.assign(holm_p=corrected(table["p"].to_numpy(dtype=float), "holm"))


def _one(items: pd.DataFrame, turned: str, move: str, draws: int, rng: np.random.Generator) -> dict[str, Any]:
    values = items.pivot(index="language", columns="example_id", values=move).to_numpy(dtype=float)
    states = items.pivot(index="language", columns="example_id", values="turned").to_numpy()
    known = ~np.isnan(values)
    first, second = (known & (states == state) for state in (turned, ""))
    row: dict[str, Any] = {}
    for name, group in (("turned", first), ("others", second)):
        own = values[group]
        row |= {f"n_{name}": len(own), f"share_{name}": _mean(own > 0), f"mean_{name}": _mean(own)}
    together = first.any(axis=1) & second.any(axis=1)
    if first[together].sum() < FEWEST_TURNED or second[together].sum() < FEWEST_TURNED:
        reason = f"{int(first.sum())} items {TURNS[turned]}, {int(second.sum())} did not turn: too few for a test"
        return row | {"effect": math.nan, "p": math.nan, "reason": reason}
    effect = chance_of_more(values[together], first[together], second[together])
    p = item_permutation(values[together], first[together], second[together], draws=draws, rng=rng)
    return row | {"effect": effect, "p": p, "reason": ""}


def _mean(values: NDArray[Any]) -> float:
    return float(values.mean()) if values.size else math.nan


def chance_of_more(values: Floats, first: NDArray[np.bool_], second: NDArray[np.bool_]) -> float:
    """Over pairs of one language, how often the first group's value is the larger (ties count half), in [0, 1]: the
    Mann-Whitney statistic, stratified by language. All arguments: [languages, items]."""
    wins = pairs = 0.0
    for own, ours, theirs in zip(values, first, second, strict=True):
        apart = own[ours][:, None] - own[theirs][None, :]
        wins += float((apart > TIE).sum() + (np.abs(apart) <= TIE).sum() / 2)
        pairs += apart.size
    return wins / pairs if pairs else math.nan


def item_permutation(
    values: Floats, first: NDArray[np.bool_], second: NDArray[np.bool_], *, draws: int, rng: np.random.Generator
) -> float:
    """Two-sided p of "how far an item moved has nothing to do with whether it turned": the difference in mean rank
    within the language, with whole items exchanged, in all languages at once. At least 1 / (draws + 1)."""
    from scipy import stats

    ranks = np.zeros(values.shape)
    for row, own in zip(ranks, values, strict=True):
        known = ~np.isnan(own)
        row[known] = stats.rankdata(np.round(own[known], 9)) - (known.sum() + 1) / 2
    weights = first / first.sum() - second / second.sum()
    meeting = weights.T @ ranks
    n = len(meeting)
    own = float(np.trace(meeting))
    orders = rng.permuted(np.tile(np.arange(n), (draws, 1)), axis=1)
    drawn = meeting[np.arange(n), orders].sum(axis=1)
    return float((1 + (np.abs(drawn) >= abs(own) - 1e-9).sum()) / (1 + draws))


def _sentences(
    questions: pd.DataFrame, items: pd.DataFrame, pooling: str, layer: int, config: CompareConfig
) -> list[Sentence]:
    """A sentence for each question that has a test, one for those that have none, and what none of them says."""
    sentences, untested = [], []
    reference = language(reference_language()).name
    for row in records(questions):
        if math.isnan(row["p"]):
            untested.append(row["reason"])
            continue
        sure = row["holm_p"] < 1 - config.level
        way = "more often" if row["effect"] > 0.5 else "less often"
        end = f"goes together, {way}" if sure else "no sign that they go together"
        sentences.append(
            Sentence(
                Topic.EXPLANATION.value,
                f"Of {row['n_turned']} answers that {TURNS[row['turned']]}, {100 * row['share_turned']:.0f} % "
                f"{MOVES[row['move']].format(reference=reference)}; of {row['n_others']} that did not turn, "
                f"{100 * row['share_others']:.0f} %. "
                f"Chance that one of the first moved further: {row['effect']:.2f} (0.50 is none; Holm p = "
                f"{row['holm_p']:.3f}): {end}.",
                row,
            )
        )
    if untested:
        sentences.append(Sentence(Topic.EXPLANATION.value, f"Not tested: {'; '.join(dict.fromkeys(untested))}."))
    languages, n = items["language"].nunique(), items["example_id"].nunique()
    note = (
        f"These are correlations over {n} items in {languages} languages (layer {layer}, {pooling} states, chosen on "
        "the model before). They say what goes together, not what causes what."
    )
    return [*sentences, Sentence(Topic.EXPLANATION.value, note, {"layer": layer, "pooling": pooling, "items": n})]
