"""Evaluations of the rows → the table, and each row against its nulls and the tuned model against what is free.

1. Items on which settings were chosen are left out of all rows, and all rows keep the same items.
2. Every change starts from the calibrated base: its accuracy is its calibrated accuracy, its AUROC the base's. Where
   calibration is undefined, as for answers of an item's own, from the base.
3. Over groups of languages as in `compare`: contributions of items, averaged over languages, paired by item.
4. Holm's correction over the free and trained rows, for each group by itself, on the primary measure.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from spillover.core.config import CompareConfig
from spillover.core.declared_measure import Declaration
from spillover.core.languages import reference_language
from spillover.core.tables import check_columns
from spillover.core.types import Evaluation, Floats, LabelScores
from spillover.stages.alternatives.result import (
    CONTRAST_COLUMNS,
    METRICS,
    ROW_COLUMNS,
    TRANSLATION_COLUMNS,
    Alternatives,
    no_translations,
)
from spillover.stages.alternatives.rows import BASE, CALIBRATED, TUNED, Row, RowKind
from spillover.stages.alternatives.verdict import verdict
from spillover.stages.compare.change_tables import outcomes, role
from spillover.stages.compare.contrasts import TrainedRun, contrast, on_the_same_items, seed_matrix
from spillover.stages.compare.language_groups import Group, groups_of
from spillover.stages.compare.measures import Measure
from spillover.stages.compare.pairing import Changes, Pairs, changes_of, restricted
from spillover.stages.compare.primary import primary_measure
from spillover.stats.calibration import Method
from spillover.stats.contributions import estimate
from spillover.stats.power import minimum_detectable_mean
from spillover.stats.significance import corrected
from spillover.stats.summary import measures, reason_undefined

if TYPE_CHECKING:
    import pandas as pd

KINDS = ("all", "training", "own")


@dataclass(frozen=True)
class Cost:
    """tokens and seconds of the row's own evaluation, and seconds of what came before it: training, or making an
    intervention. NaN where a run does not record it."""

    tokens: float = 0.0
    seconds: float = 0.0
    preparation_seconds: float = 0.0


@dataclass(frozen=True)
class ScoredRow:
    """A row with its scores. setting: shots, layers or strength as they were used."""

    row: Row
    evaluation: Evaluation
    cost: Cost = Cost()
    setting: str = ""


def alternatives_of(
    scored: Sequence[ScoredRow],
    *,
    left_out: Sequence[Row] = (),
    translations: Mapping[str, pd.DataFrame] | None = None,
    seen: Sequence[str] = (),
    held_out: Collection[str] = (),
    config: CompareConfig | None = None,
    declared: Declaration | None = None,
) -> Alternatives:
    """The result of one task. scored: the base first. left_out: rows that could not be made, each with its reason; they
    stand in the table without numbers. translations: their quality, by the name of the row. seen: languages that the
    tuned model was trained on. held_out: ids of items on which settings were chosen. declared: the primary measure, by
    the run.

    DataError when the rows do not have the same languages, items and gold labels.
    """
    config = config or CompareConfig()
    pairs = _on_scored_items(scored, seen, held_out, config)
    base = pairs[BASE]
    primary = primary_measure(base, config, declared)
    undefined = [reason for before, _ in base.values() if (reason := reason_undefined(before))]
    reference = BASE if undefined else CALIBRATED
    scored = [one for one in scored if not undefined or one.row.name != CALIBRATED]
    changes = {
        one.row.name: changes_of(pairs[one.row.name], config.calibration, calibrated_before=not undefined)
        for one in scored
    }
    groups = [group for group in groups_of(tuple(base), seen, config.groups) if group.kind in KINDS]
    left_out = [row for row in left_out if row.kind is not RowKind.NULL]
    rows = _row_table(scored, left_out, pairs, changes, groups, config, primary.measure, reference)
    contrasts = _contrast_table(scored, changes, groups, config, primary.measure)
    notes = [str(note) for note in primary.notes]
    notes += [f"{row.name} has no numbers: {row.reason}." for row in left_out]
    if undefined:
        notes.append(f"The base is not calibrated: {undefined[0]}. Changes are against the base.")
    if not seen and any(one.row.kind is RowKind.TRAINED for one in scored):
        notes.append("Which languages the tuned model was trained on is not known: all languages are one group.")
    group = "unseen" if (rows["group"] == "unseen").any() else "all"
    answer, text, numbers = verdict(rows, contrasts, primary.measure, group, reference, config)
    task = scored[0].evaluation.task
    return Alternatives(
        task=task,
        rows=check_columns(rows.assign(task=task), ROW_COLUMNS),
        contrasts=check_columns(contrasts.assign(task=task), CONTRAST_COLUMNS),
        translations=_translation_table(translations or {}, task),
        answer=answer,
        verdict=text,
        numbers=numbers,
        group=group,
        primary=primary.measure.name,
        chosen=primary.chosen,
        level=config.level,
        held_out=len(set(held_out)),
        reference=reference,
        notes=tuple(notes),
    )


def in_reference_language(base: Evaluation) -> Evaluation:
    """The base's scores in the reference language, in the place of every language: the bound of any translation."""
    own = base.scores[reference_language()]
    row = {example_id: i for i, example_id in enumerate(own.example_ids)}
    scores = {}
    for code, scored in base.scores.items():
        ids = [example_id for example_id in scored.example_ids if example_id in row]
        # Texts differ between languages, and so may the names of clusters: they are those of the language itself.
        bound = replace(own, language=code, content=(), clusters=())
        scores[code] = restricted({code: (bound, bound)}, {code: ids})[code][0]
    return replace(base, scores=scores)


def _on_scored_items(
    scored: Sequence[ScoredRow], seen: Sequence[str], held_out: Collection[str], config: CompareConfig
) -> dict[str, Pairs]:
    """(base, row) by language, for each row by its name, all with the same items: none of them held out."""
    sides = {one.row.name: _without(one.evaluation, held_out) for one in scored}
    base = sides[BASE]
    runs = [TrainedRun(name, name, "", 0, tuple(seen), base, side) for name, side in sides.items()]
    return dict(zip(sides, on_the_same_items(runs, config), strict=True))


def _without(evaluation: Evaluation, held_out: Collection[str]) -> Evaluation:
    scores: dict[str, LabelScores] = {}
    for code, own in evaluation.scores.items():
        ids = [example_id for example_id in own.example_ids if example_id not in held_out]
        scores[code] = restricted({code: (own, own)}, {code: ids})[code][0]
    return replace(evaluation, scores=scores)


def _translation_table(quality: Mapping[str, pd.DataFrame], task: str) -> pd.DataFrame:
    """The translations of every row that translates, with `TRANSLATION_COLUMNS`."""
    import pandas as pd

    if not quality:
        return no_translations()
    table = pd.concat([table.assign(task=task, row=name) for name, table in quality.items()], ignore_index=True)
    return check_columns(table, TRANSLATION_COLUMNS)[[column.name for column in TRANSLATION_COLUMNS]]


def _row_table(
    scored: Sequence[ScoredRow],
    left_out: Sequence[Row],
    pairs: Mapping[str, Pairs],
    changes: Mapping[str, Changes],
    groups: Sequence[Group],
    config: CompareConfig,
    primary: Measure,
    reference: str,
) -> pd.DataFrame:
    """A line per group and row. reference: the row that changes are against, which has values and no change."""
    import pandas as pd

    rows = []
    for group in groups:
        for one in scored:
            name, kind = one.row.name, one.row.kind
            row: dict[str, object] = {"row": name, "kind": kind.value, "null_of": " ".join(one.row.null_of)}
            row |= {"setting": one.setting, "group": group.name, "languages": len(group.languages)}
            row |= {"n": changes[name].n_items(group.languages), "primary": primary.metric}
            row |= _values(pairs[name], group, config.calibration, calibrated=name == CALIBRATED)
            row |= {f"{metric}_{end}": math.nan for metric in METRICS for end in ("delta", "low", "high")}
            row |= {"p": math.nan, "detectable": math.nan}
            if name != reference:
                row |= _changes(changes[name], group, primary, config, tested=kind.tested)
            rows.append(row | {"training": one.row.trained} | vars(one.cost))
        for other in left_out:
            row = {"row": other.name, "kind": other.kind.value, "null_of": "", "setting": other.reason, "n": 0}
            row |= {"group": group.name, "languages": len(group.languages), "primary": primary.metric}
            rows.append(row | {"training": other.trained})
    table = pd.DataFrame(rows)
    table["holm_p"] = np.nan
    for _, part in table.groupby("group"):
        table.loc[part.index, "holm_p"] = corrected(part["p"].to_numpy(), "holm")
    table["verdict"] = outcomes(table[f"{primary.metric}_delta"], table["holm_p"], table["detectable"], config)
    return table


def _values(pairs: Pairs, group: Group, calibration: Method, *, calibrated: bool) -> dict[str, float]:
    """The mean of each metric over the languages. calibrated: accuracy is that after calibration."""
    by_language = [measures(pairs[code][1], calibration) for code in group.languages]
    if calibrated:
        by_language = [own | {"accuracy": own["calibrated_accuracy"]} for own in by_language]
    return {metric: float(np.mean([own[metric] for own in by_language])) for metric in METRICS}


def _changes(
    changes: Changes, group: Group, primary: Measure, config: CompareConfig, *, tested: bool
) -> dict[str, float]:
    columns: dict[str, float] = {}
    for metric in METRICS:
        parts = _contributions(changes, group, metric)[:, 0]
        change = estimate(parts, metric, config.level, clustered=changes.clustered)
        columns |= {f"{metric}_delta": change.delta, f"{metric}_low": change.low, f"{metric}_high": change.high}
        if metric == primary.metric and tested:
            columns["p"] = change.p
            clusters = len(parts) if changes.clustered else None
            columns["detectable"] = minimum_detectable_mean(
                change.error, alpha=1 - config.level, power=config.power, clusters=clusters
            )
    return columns


def _contributions(changes: Changes, group: Group, metric: str) -> Floats:
    """[items or clusters, 1]: each one's contribution to the group's change from the calibrated base."""
    return seed_matrix([changes], group, metric)


def _contrast_table(
    scored: Sequence[ScoredRow],
    changes: Mapping[str, Changes],
    groups: Sequence[Group],
    config: CompareConfig,
    primary: Measure,
) -> pd.DataFrame:
    """Each row against its nulls, and the tuned model against everything that is free."""
    import pandas as pd

    rows = []
    for first, other in _held_against([one.row for one in scored], changes):
        for group in groups:
            for metric in METRICS:
                own, others = (_contributions(changes[name], group, metric) for name in (first, other.name))
                if other.name == CALIBRATED:  # all changes start from it
                    others = np.zeros_like(own)
                change = contrast(own, others, metric, config.level, clustered=changes[first].clustered)
                kind = RowKind.NULL if other.kind is RowKind.NULL else RowKind.FREE
                row: dict[str, object] = {"row": first, "against": other.name, "kind": kind.value}
                row |= {"group": group.name, "metric": metric, "role": role(metric, primary)}
                rows.append(row | {"delta": change.delta, "low": change.low, "high": change.high, "p": change.p})
    columns = [column.name for column in CONTRAST_COLUMNS if column.name not in ("task", "holm_p")]
    table = pd.DataFrame(rows, columns=columns).assign(holm_p=np.nan)
    for _, part in table.groupby(["row", "kind", "group", "metric"]):
        table.loc[part.index, "holm_p"] = corrected(part["p"].to_numpy(), "holm")
    return table


def _held_against(rows: Sequence[Row], changes: Mapping[str, Changes]) -> list[tuple[str, Row]]:
    """(name of a row, what it is held against)."""
    nulls = [(name, null) for null in rows for name in null.null_of]
    free = [row for row in rows if row.kind in (RowKind.REFERENCE, RowKind.FREE)]
    return nulls + [(TUNED, row) for row in free if TUNED in changes]
