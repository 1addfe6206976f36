"""What goes along with flipped predictions: the probe's tables joined with correctness, item by item.

1. One row per language and item: correct before and after; its cosine margin to its counterpart in the reference
   language, and whether that is its nearest neighbour, at one layer; the layer from which the answer leads in the lens.
2. Questions: did newly correct (or newly wrong) items move closer to their counterpart, or have their answer earlier,
   than items that did not flip? Ranks within the language, so that languages are not confounded; and whole items
   permuted over all languages, so that an item that flips in ten of them counts once. Holm over the questions.

The layer is the one with the highest mean MEXA before, so that it does not depend on what changed. All of it is
correlation, and the sentences claim no more.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from spillover.core.config import CompareConfig
from spillover.core.languages import language, reference_language
from spillover.core.runs import Run
from spillover.core.tables import Column, check_columns, records, write_table
from spillover.core.types import Evaluation, Floats
from spillover.stages.compare.alignment_changes import CHANGE_COLUMNS, alignment_changes
from spillover.stages.compare.comparison_files import FOLDER
from spillover.stages.compare.result import Comparison, Sentence, Topic
from spillover.stats.significance import corrected

if TYPE_CHECKING:
    import pandas as pd

Bools = NDArray[np.bool_]
# Margins are sums of many products: a difference below this is rounding, and the two tie.
TIE = 1e-9
FEWEST_FLIPPED = 5
FLIPS = {"right": "newly correct", "wrong": "newly wrong"}
MOVES = {
    "closer": "moved closer to their {reference} counterpart",
    "earlier": "have their answer lead at an earlier layer",
}
ITEM_COLUMNS = (
    Column("task", "id of the task"),
    Column("language", "BCP-47 code"),
    Column("example_id", "the same id is the same item in every language"),
    *(
        column
        for side in ("before", "after")
        for column in (
            Column(f"twin_first_{side}", "whether the counterpart is the nearest neighbour", "", "0 or 1"),
            Column(f"margin_{side}", "cosine margin to the counterpart", "", "-2 to 2"),
            Column(f"correct_{side}", "1 correct, a fraction for a tie", "", "0 to 1"),
        )
    ),
    Column("turned", 'right (newly correct), wrong (newly wrong) or ""'),
    Column("closer", "margin after minus before", "", "-4 to 4"),
)
# Where both sides have a lens.
LENS_COLUMNS = (
    Column("leads_at_before", "layer from which the answer leads in the lens", "layer"),
    Column("leads_at_after", "layer from which the answer leads in the lens", "layer"),
    Column("earlier", "leads_at before minus after", "layers"),
)
QUESTION_COLUMNS = (
    Column("turned", "right (newly correct) or wrong (newly wrong)"),
    Column("move", "closer or earlier"),
    *(
        column
        for name, items in (("turned", "flipped items"), ("others", "items that did not flip"))
        for column in (
            Column(f"n_{name}", f"how many {items}", "items"),
            Column(f"share_{name}", f"share of {items} that moved", "share", "0 to 1"),
            Column(f"mean_{name}", f"how far {items} moved, mean"),
        )
    ),
    Column("effect", "chance that a flipped item moved more than another of its language; 0.5: none", "", "0 to 1"),
    Column("p", "two-sided p of no association", "", "0 to 1"),
    Column("reason", 'why there is no test, or ""'),
    Column("holm_p", "after Holm's correction over the questions", "", "0 to 1"),
)
TABLES = ("items", "questions", "alignment_changes")


@dataclass(frozen=True)
class FlipAnalysis:
    """items: the joined table, with `ITEM_COLUMNS` and, with a lens, `LENS_COLUMNS`. questions: a row for each, with
    `QUESTION_COLUMNS`. alignment_changes: see there. The tables are None when other models were probed than
    evaluated."""

    sentences: tuple[Sentence, ...]
    items: pd.DataFrame | None = None
    questions: pd.DataFrame | None = None
    alignment_changes: pd.DataFrame | None = None


def with_flip_analysis(
    run: Run,
    names: tuple[str, str],
    comparisons: Sequence[Comparison],
    evaluations: Mapping[str, tuple[Evaluation, Evaluation]],
    *,
    config: CompareConfig,
    seed: int,
) -> list[Comparison]:
    """The comparisons with the sentences of the analysis after their own, where both models were probed. Writes
    items.parquet, questions.parquet and alignment_changes.parquet into <run>/compare; removes older ones.

    evaluations: (before, after) by task."""
    folder = run.path / FOLDER
    for name in TABLES:
        (folder / f"{name}.parquet").unlink(missing_ok=True)
    result = []
    for comparison in comparisons:
        analysis = analyse_flips(run, names, *evaluations[comparison.task], config=config, seed=seed)
        if analysis is not None:
            comparison = replace(comparison, verdict=(*comparison.verdict, *analysis.sentences))
            for name in TABLES:
                if (table := getattr(analysis, name)) is not None and len(table):
                    write_table(folder / f"{name}.parquet", table)
        result.append(comparison)
    return result


def analyse_flips(
    run: Run, names: tuple[str, str], before: Evaluation, after: Evaluation, *, config: CompareConfig, seed: int
) -> FlipAnalysis | None:
    """The analysis of one task, from the run's tables; None when the task was not probed on both sides."""
    folders = [run.path / "probe" / name for name in names]
    stages = run.manifest()["stages"]
    settings = [stages.get(f"probe/{name}", {}).get("settings", {}) for name in names]
    if any(probed.get("task") != before.task for probed in settings):
        return None
    if not all((folder / "alignment_items.parquet").exists() for folder in folders):
        return None
    for name, probed, side in zip(names, settings, (before, after), strict=True):
        if probed["model"] != side.model.fingerprint:
            text = f"Flips cannot be analysed: probe/{name} is of another model than evaluate/{name}."
            return FlipAnalysis((Sentence(Topic.EXPLANATION, text),))
    pooling, layer = chosen_layer(folders[0])
    items = join_items(folders, pooling, layer, before, after)
    questions = question_table(items, draws=config.draws, rng=np.random.default_rng(seed))
    changes = alignment_changes(*folders, level=config.level, rng=np.random.default_rng(seed))
    sentences = _sentences(questions, items, pooling, layer, config)
    return FlipAnalysis(tuple(sentences), items, questions, check_columns(changes, CHANGE_COLUMNS))


def chosen_layer(folder: Path) -> tuple[str, int]:
    """(pooling, layer) with the highest MEXA, mean over languages, of the model before."""
    import pandas as pd

    table = pd.read_parquet(folder / "alignment.parquet")
    means = table[table["measure"] == "mexa"].groupby(["pooling", "layer"], sort=False)["value"].mean()
    best: Any = means.idxmax()
    return str(best[0]), int(best[1])


def join_items(folders: list[Path], pooling: str, layer: int, before: Evaluation, after: Evaluation) -> pd.DataFrame:
    """A row per language and item that was both probed and evaluated, with `ITEM_COLUMNS` and `LENS_COLUMNS`."""
    key = ["language", "example_id"]
    old, new = (
        _probed_items(folder, pooling, layer).merge(_correct(side)).set_index(key).add_suffix(f"_{name}").reset_index()
        for name, folder, side in zip(("before", "after"), folders, (before, after), strict=True)
    )
    items = old.merge(new, on=key)
    correct_before, correct_after = (items[f"correct_{name}"] == 1 for name in ("before", "after"))
    turned = np.where(
        ~correct_before & correct_after, "right", np.where(correct_before & ~correct_after, "wrong", "")
    )  # fmt: skip
    items = items.assign(turned=turned, closer=items["margin_after"] - items["margin_before"])
    columns = ITEM_COLUMNS
    if "leads_at_before" in items and "leads_at_after" in items:
        items["earlier"] = items["leads_at_before"] - items["leads_at_after"]
        columns += LENS_COLUMNS
    else:
        items = items.drop(columns=["leads_at_before", "leads_at_after"], errors="ignore")
    items.insert(0, "task", before.task)
    return check_columns(items, columns)


def _probed_items(folder: Path, pooling: str, layer: int) -> pd.DataFrame:
    """`language`, `example_id`, `twin_first`, `margin` and, with a lens, `leads_at`."""
    import pandas as pd

    table = pd.read_parquet(folder / "alignment_items.parquet")
    chosen = (table["pooling"] == pooling) & (table["layer"] == layer) & (table["other"] == reference_language())
    table = table.loc[chosen, ["language", "example_id", "retrieval", "margin"]]
    table = table.rename(columns={"retrieval": "twin_first"})
    lens = folder / "lens_items.parquet"
    if lens.exists():
        table = table.merge(pd.read_parquet(lens, columns=["language", "example_id", "leads_at"]))
    return table


def _correct(side: Evaluation) -> pd.DataFrame:
    import pandas as pd

    return pd.concat(
        [
            pd.DataFrame({"language": code, "example_id": list(scores.example_ids), "correct": scores.hits()})
            for code, scores in side.scores.items()
        ],
        ignore_index=True,
    )


def question_table(items: pd.DataFrame, *, draws: int, rng: np.random.Generator) -> pd.DataFrame:
    """A row per question, with `QUESTION_COLUMNS`; NaN with a reason where too few items flipped."""
    import pandas as pd

    rows = [
        {"turned": flip, "move": move} | _question(items, flip, move, draws, rng)
        for flip in FLIPS
        for move in MOVES
        if move in items
    ]
    table = pd.DataFrame(rows)
    table["holm_p"] = corrected(table["p"].to_numpy(dtype=float), "holm")
    return check_columns(table, QUESTION_COLUMNS)


def _question(items: pd.DataFrame, flip: str, move: str, draws: int, rng: np.random.Generator) -> dict[str, Any]:
    values = items.pivot(index="language", columns="example_id", values=move).to_numpy(dtype=float)
    flips = items.pivot(index="language", columns="example_id", values="turned").to_numpy()
    known = ~np.isnan(values)
    flipped, others = (known & (flips == state) for state in (flip, ""))
    row: dict[str, Any] = {}
    for name, group in (("turned", flipped), ("others", others)):
        moved = values[group]
        row |= {f"n_{name}": len(moved), f"share_{name}": _mean(moved > 0), f"mean_{name}": _mean(moved)}
    both = flipped.any(axis=1) & others.any(axis=1)
    if flipped[both].sum() < FEWEST_FLIPPED or others[both].sum() < FEWEST_FLIPPED:
        reason = f"{int(flipped.sum())} items are {FLIPS[flip]}, {int(others.sum())} did not flip: too few for a test"
        return row | {"effect": math.nan, "p": math.nan, "reason": reason}
    effect = probability_of_superiority(values[both], flipped[both], others[both])
    p = item_permutation_test(values[both], flipped[both], others[both], draws=draws, rng=rng)
    return row | {"effect": effect, "p": p, "reason": ""}


def _mean(values: NDArray[Any]) -> float:
    return float(values.mean()) if values.size else math.nan


def probability_of_superiority(values: Floats, first: Bools, second: Bools) -> float:
    """Over pairs of one language, how often the first group's value is the larger (ties count half), in [0, 1]: the
    Mann-Whitney statistic, stratified by language. All arguments: [languages, items]."""
    wins = pairs = 0.0
    for row, in_first, in_second in zip(values, first, second, strict=True):
        differences = row[in_first][:, None] - row[in_second][None, :]
        wins += float((differences > TIE).sum() + (np.abs(differences) <= TIE).sum() / 2)
        pairs += differences.size
    return wins / pairs if pairs else math.nan


def item_permutation_test(
    values: Floats, first: Bools, second: Bools, *, draws: int, rng: np.random.Generator
) -> float:  # fmt: skip
    """Two-sided p of "how far an item moved is independent of whether it flipped": the difference in mean rank within
    the language, with whole items permuted, in all languages at once. At least 1 / (draws + 1)."""
    from scipy import stats

    ranks = np.zeros(values.shape)
    for row, of_language in zip(ranks, values, strict=True):
        known = ~np.isnan(of_language)
        row[known] = stats.rankdata(np.round(of_language[known], 9)) - (known.sum() + 1) / 2
    weights = first / first.sum() - second / second.sum()
    products = weights.T @ ranks
    n = len(products)
    observed = float(np.trace(products))
    orders = rng.permuted(np.tile(np.arange(n), (draws, 1)), axis=1)
    permuted = products[np.arange(n), orders].sum(axis=1)
    return float((1 + (np.abs(permuted) >= abs(observed) - 1e-9).sum()) / (1 + draws))


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
        direction = "more often" if row["effect"] > 0.5 else "less often"
        end = f"associated, {direction}" if row["holm_p"] < 1 - config.level else "no evidence of an association"
        sentences.append(
            Sentence(
                Topic.EXPLANATION,
                f"Of {row['n_turned']} {FLIPS[row['turned']]} predictions, {100 * row['share_turned']:.0f} % "
                f"{MOVES[row['move']].format(reference=reference)}; of {row['n_others']} that did not flip, "
                f"{100 * row['share_others']:.0f} %. Probability that a flipped one moved further: "
                f"{row['effect']:.2f} (0.50 is none; Holm p = {row['holm_p']:.3f}): {end}.",
                row,
            )
        )
    if untested:
        sentences.append(Sentence(Topic.EXPLANATION, f"Not tested: {'; '.join(dict.fromkeys(untested))}."))
    languages, n = items["language"].nunique(), items["example_id"].nunique()
    note = (
        f"These are correlations over {n} items in {languages} languages (layer {layer}, {pooling} states, chosen on "
        "the model before). They do not show what causes what."
    )
    return [*sentences, Sentence(Topic.EXPLANATION, note, {"layer": layer, "pooling": pooling, "items": n})]
