"""Several runs: the real arm against the others, and seeds of one arm.

"After is better than before" is no evidence for translation: a placebo arm may gain as much. So the change of the real
arm minus the change of another is tested itself, paired by item (where both started from one base, that is tuned
against tuned). Runs that differ in their seed alone are one arm, and the variance between seeds is part of the error.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from spillover.core.config import CompareConfig
from spillover.core.declared_measure import Declaration
from spillover.core.errors import DataError
from spillover.core.tables import Column, check_columns
from spillover.core.types import Evaluation, Floats
from spillover.stages.compare.change_tables import GROUP_CHANGE, ROLE, VERDICT, P, outcomes, role
from spillover.stages.compare.language_groups import Group
from spillover.stages.compare.measures import Measure
from spillover.stages.compare.pairing import Changes, Pairs, changes_of, join, refuse_unmatched, restricted
from spillover.stats.contributions import LARGEST_CHANGE, METRICS, estimate
from spillover.stats.intervals import Estimate, Standard, two_way, within
from spillover.stats.power import minimum_detectable_mean
from spillover.stats.significance import corrected

if TYPE_CHECKING:
    import pandas as pd

METRIC = Column("metric", "accuracy, calibrated_accuracy, prior_repair (the label-bias component) or auroc")
SEED_COLUMNS = (
    Column("arm", "name of the arm"),
    Column("group", "name of the group of languages"),
    Column("kind", "all, training, reference, script, family or own"),
    METRIC,
    ROLE,
    Column("seeds", "how many seeds"),
    Column("deltas", "each seed's change", "share", GROUP_CHANGE),
    Column("items_error", "standard error of the items alone", "share"),
    Column("seed_deviation", "standard deviation between seeds", "share"),
    Column("delta", "mean change over seeds", "share", GROUP_CHANGE),
    Column("low", "lower end of the interval, items and seeds being samples", "share", GROUP_CHANGE),
    Column("high", "upper end of the interval, items and seeds being samples", "share", GROUP_CHANGE),
    Column("p", "two-sided p of no change", "", P),
    Column("detectable", "minimum detectable change", "share"),
    VERDICT,
)
CONTRAST_COLUMNS = (
    Column("against", "name of the other arm"),
    Column("group", "name of the group of languages, or a language's code"),
    Column("kind", "all, training, reference, script, family, own or language"),
    METRIC,
    ROLE,
    Column("languages", "how many languages"),
    Column("n", "items that any of the languages has", "items"),
    Column("delta", "change of the first run's arm minus change of the other", "share", "-4 to 4"),
    Column("low", "lower end of its interval", "share", "-4 to 4"),
    Column("high", "upper end of its interval", "share", "-4 to 4"),
    Column("p", "two-sided p of no difference", "", P),
    Column("holm_p", "after Holm's correction: over the arms for a group, over the languages for single ones", "", P),
    Column("detectable", "minimum detectable difference", "share"),
    VERDICT,
)


@dataclass(frozen=True)
class TrainedRun:
    """One run on one task. arm: what it was trained on; runs of one arm and `recipe` differ in `seed` alone.
    declared: its primary measure, None where it declared none before it was scored. fold: the part of the items that it
    scored, as in 1/2; "" for all."""

    name: str
    arm: str
    recipe: str
    seed: int
    seen: tuple[str, ...]
    before: Evaluation
    after: Evaluation
    declared: Declaration | None = None
    fold: str = ""


def changes_by_arm(runs: Sequence[TrainedRun], config: CompareConfig) -> dict[str, list[Changes]]:
    """The changes of each arm's runs by the arm's name, the first run's arm first; all on the same items.

    DataError when the runs do not have the same task, languages and items, or two are one arm, recipe and seed."""
    names: dict[tuple[str, str], str] = {}
    arms: dict[str, list[Changes]] = {}
    by_seed: dict[tuple[str, str, int], str] = {}
    for run in runs:
        if other := by_seed.get(same := (run.arm, run.recipe, run.seed)):
            raise DataError(
                f"{other} and {run.name}: one arm, recipe and seed: the same result twice is no second seed",
                hint="name one of them, or train the other with another train.seed",
            )
        by_seed[same] = run.name
    for run, pairs in zip(runs, on_the_same_items(runs, config), strict=True):
        key = (run.arm, run.recipe)
        if key not in names:
            names[key] = run.arm if run.arm not in arms else f"{run.arm} ({run.name})"
        arms.setdefault(names[key], []).append(changes_of(pairs, config.calibration))
    return arms


def on_the_same_items(runs: Sequence[TrainedRun], config: CompareConfig) -> list[Pairs]:
    """Every run's joined scores, with the same languages and items in the same order."""
    joined = [_joined(run, config) for run in runs]
    shared_ids = {code: before.example_ids for code, (before, _) in joined[0].items()}
    for run, pairs in zip(runs[1:], joined[1:], strict=True):
        ids = {code: before.example_ids for code, (before, _) in pairs.items()}
        if config.missing_items == "refuse":
            _refuse_other_items(runs[0].name, run.name, shared_ids, ids)
        shared_ids = {code: _shared(shared_ids[code], ids[code]) for code in shared_ids if code in ids}
    shared_ids = {code: ids for code, ids in shared_ids.items() if ids}
    if not shared_ids:
        raise DataError("the runs have no item or no language in common", hint="evaluate them on the same data")
    shared = [restricted(pairs, shared_ids) for pairs in joined]
    for run, pairs in zip(runs[1:], shared[1:], strict=True):
        for code, (before, _) in pairs.items():
            first = shared[0][code][0]
            if before.content and first.content and before.content != first.content:
                raise DataError(
                    f"{runs[0].name} and {run.name}: {code}: another text under the same id",
                    hint="evaluate them on the same data",
                )
            if (before.gold != first.gold).any() or before.clusters != first.clusters:
                what = "clusters" if (before.gold == first.gold).all() else "gold labels"
                raise DataError(
                    f"{runs[0].name} and {run.name}: {code}: {what} differ", hint="evaluate them on the same data"
                )
    return shared


def _refuse_other_items(
    first: str, second: str, first_ids: Mapping[str, Sequence[str]], second_ids: Mapping[str, Sequence[str]]
) -> None:
    sides = f"in {first}", f"in {second}"
    refuse_unmatched("the runs differ", "language", first_ids, second_ids, sides=sides)
    hint = "same data, limit and seed for all runs (train.seed varies the training alone), or "
    for code, ids in first_ids.items():
        refuse_unmatched(f"the runs differ, {code}", "item", ids, second_ids[code], sides=sides, hint=hint)


def _joined(run: TrainedRun, config: CompareConfig) -> Pairs:
    try:
        return join(run.before, run.after, config)
    except DataError as error:
        raise DataError(f"{run.name}: {error.message}", hint=error.hint) from None


def _shared(first: tuple[str, ...], second: tuple[str, ...]) -> tuple[str, ...]:
    others = set(second)
    return tuple(example_id for example_id in first if example_id in others)


def seed_table(
    arms: Mapping[str, Sequence[Changes]], groups: Sequence[Group], config: CompareConfig, primary: Measure
) -> pd.DataFrame | None:
    """A row per arm with several seeds, group and metric, with `SEED_COLUMNS`; None without such an arm."""
    import pandas as pd

    rows = []
    for arm, runs in arms.items():
        if len(runs) < 2:
            continue
        for group in groups:
            for metric in METRICS:
                matrix = seed_matrix(runs, group, metric)
                items = estimate(matrix.mean(axis=1), metric, config.level, clustered=runs[0].clustered)
                pooled = two_way(matrix, config.level, floor=0.0 if math.isnan(items.error) else items.error)
                pooled = within(pooled, LARGEST_CHANGE[metric])
                row = {"arm": arm, "group": group.name, "kind": group.kind, "metric": metric, "seeds": len(runs)}
                row |= {"role": role(metric, primary)}
                row |= {"deltas": [float(value) for value in matrix.mean(axis=0)], "items_error": items.error}
                row |= {"seed_deviation": float(matrix.mean(axis=0).std(ddof=1))}
                rows.append(row | _estimate_columns(pooled, config))
    if not rows:
        return None
    table = pd.DataFrame(rows)
    table["verdict"] = outcomes(table["delta"], table["p"], table["detectable"], config)
    return check_columns(table, SEED_COLUMNS)


def seed_matrix(runs: Sequence[Changes], group: Group, metric: str) -> Floats:
    """[items or clusters, seeds]: each one's contribution to the group's change, by seed."""
    return np.stack([run.contribution_matrix(metric, group.languages).mean(axis=1) for run in runs], axis=1)


def contrast_table(
    arms: Mapping[str, Sequence[Changes]], groups: Sequence[Group], config: CompareConfig, primary: Measure
) -> pd.DataFrame | None:
    """A row per other arm, group (and single language) and metric, with `CONTRAST_COLUMNS`; None for one arm."""
    import pandas as pd

    (_, real), *others = arms.items()
    if not others:
        return None
    singles = [Group(code, "language", (code,)) for code in real[0].languages]
    rows = []
    for name, runs in others:
        for group in [*groups, *singles]:
            for metric in METRICS:
                sides = (seed_matrix(real, group, metric), seed_matrix(runs, group, metric))
                row: dict[str, object] = {"against": name, "group": group.name, "kind": group.kind, "metric": metric}
                row |= {"role": role(metric, primary)}
                row |= {"languages": len(group.languages), "n": real[0].n_items(group.languages)}
                change = contrast(*sides, metric, config.level, clustered=real[0].clustered)
                rows.append(row | _estimate_columns(change, config))
    table = pd.DataFrame(rows)
    table["holm_p"] = np.nan
    for kind, part in table.groupby("kind"):
        family = ["against", "metric"] if kind in ("language", "script", "family", "own") else ["group", "metric"]
        for _, tests in part.groupby(family):
            table.loc[tests.index, "holm_p"] = corrected(tests["p"].to_numpy(), "holm")
    table["verdict"] = outcomes(table["delta"], table["holm_p"], table["detectable"], config)
    return check_columns(table, CONTRAST_COLUMNS)


def _estimate_columns(change: Estimate, config: CompareConfig) -> dict[str, float]:
    detectable = minimum_detectable_mean(change.error, alpha=1 - config.level, power=config.power)
    return {"delta": change.delta, "low": change.low, "high": change.high, "p": change.p, "detectable": detectable}


def contrast(real: Floats, other: Floats, metric: str, level: float, *, clustered: bool = False) -> Estimate:
    """Mean of `real` minus mean of `other`, each [items or clusters, seeds], paired by item.

    With several seeds on a side, the variance between seeds (pooled over both sides) is added to that of the items, and
    t has Satterthwaite's degrees of freedom. It is conservative, as the items' noise is in both.
    """
    contributions = real.mean(axis=1) - other.mean(axis=1)
    change = estimate(contributions, metric, level, changes=2, clustered=clustered)
    counts = (real.shape[1], other.shape[1])
    freedom = sum(counts) - 2
    if freedom == 0 or math.isnan(change.error):
        return change
    squares = sum(float(side.mean(axis=0).var()) * side.shape[1] for side in (real, other))
    between = squares / freedom * (1 / counts[0] + 1 / counts[1])
    error = math.sqrt(change.error**2 + between)
    items = change.error**4 / max(len(contributions) - 1, 1)
    degrees = error**4 / (items + between**2 / freedom)
    standard = Standard(degrees)
    half = standard.ppf((1 + level) / 2) * error
    p = 2 * standard.sf(abs(change.delta) / error)
    ends = change.delta - half, change.delta + half
    return within(Estimate(change.delta, *ends, error, p), 2 * LARGEST_CHANGE[metric])
