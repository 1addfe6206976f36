"""Several runs: the real arm against the others, and seeds of one arm.

"After is better than before" says nothing of translation: a placebo arm may do the same. So the change of the real arm
less the change of another is tested itself, paired by item (where both started from one base, that is tuned against
tuned). Runs that differ in their seed alone are one arm, and what the seed does is part of the error.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from spillover.core.config import CompareConfig
from spillover.core.errors import DataError
from spillover.core.types import Evaluation
from spillover.stages.compare.format import area_span, pick, points, records, span
from spillover.stages.compare.language_groups import Group, groups_of
from spillover.stages.compare.paired import compare, estimate, with_headline
from spillover.stages.compare.pairing import CHANGES, Changes, Pairs, changes_of, join, refuse_apart, restricted
from spillover.stages.compare.power import detectable_mean
from spillover.stages.compare.result import Comparison, Outcome, Sentence, Topic
from spillover.stages.compare.verdict import outcome_of
from spillover.stats.intervals import Estimate, corrected, two_way

if TYPE_CHECKING:
    import pandas as pd

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class TrainedRun:
    """One run on one task. arm: what it was trained on; runs of one arm and `recipe` differ in `seed` alone."""

    name: str
    arm: str
    recipe: str
    seed: int
    seen: tuple[str, ...]
    before: Evaluation
    after: Evaluation


def compare_runs(runs: Sequence[TrainedRun], *, config: CompareConfig | None = None, seed: int = 0) -> Comparison:
    """The first run's comparison, with its arm's seeds and with contrasts to all other arms.

    DataError when the runs do not hold the same task, languages and items.
    """
    config = config or CompareConfig()
    first = runs[0]
    arms = arms_of(runs, config)
    found = compare(first.before, first.after, seen=first.seen, config=config, seed=seed)
    real = next(iter(arms))
    languages = arms[real][0].languages
    groups = groups_of(languages, first.seen, config.groups)
    seeds = seed_table(arms, groups, config)
    contrasts = contrast_table(arms, groups, config)
    found = replace(found, seeds=seeds if len(seeds) else None, contrasts=contrasts if len(contrasts) else None)
    sentences = (*found.verdict, *_seed_sentences(found, real), *_contrast_sentences(found, real))
    return with_headline(replace(found, verdict=sentences), real)


def arms_of(runs: Sequence[TrainedRun], config: CompareConfig) -> dict[str, list[Changes]]:
    """The changes of each arm's runs by the arm's name, the first run's arm first; all on the same items."""
    names: dict[tuple[str, str], str] = {}
    arms: dict[str, list[Changes]] = {}
    for run, pairs in zip(runs, _on_the_same_items(runs, config), strict=True):
        key = (run.arm, run.recipe)
        if key not in names:
            names[key] = run.arm if run.arm not in arms else f"{run.arm} ({run.name})"
        arms.setdefault(names[key], []).append(changes_of(pairs, config.calibration))
    return arms


def _on_the_same_items(runs: Sequence[TrainedRun], config: CompareConfig) -> list[Pairs]:
    """Every run's joined scores, with the same languages and items in the same order."""
    joined = [_joined(run, config) for run in runs]
    wanted = {code: sides[0].example_ids for code, sides in joined[0].items()}
    for run, pairs in zip(runs[1:], joined[1:], strict=True):
        if config.missing_items == "refuse":
            _refuse_other_items(runs[0].name, run.name, wanted, pairs)
        wanted = {code: _both(ids, pairs[code][0].example_ids) for code, ids in wanted.items() if code in pairs}
    wanted = {code: ids for code, ids in wanted.items() if ids}
    if not wanted:
        raise DataError("the runs have no item or no language in common", hint="evaluate them on the same data")
    shared = [restricted(pairs, wanted) for pairs in joined]
    for run, pairs in zip(runs[1:], shared[1:], strict=True):
        for code, (left, _) in pairs.items():
            if (left.gold != shared[0][code][0].gold).any():
                raise DataError(
                    f"{runs[0].name} and {run.name}: {code}: gold labels differ", hint="evaluate them on the same data"
                )
    return shared


def _refuse_other_items(first: str, second: str, wanted: Mapping[str, Sequence[str]], pairs: Pairs) -> None:
    sides = f"in {first}", f"in {second}"
    refuse_apart("the runs differ", "language", wanted, pairs, sides=sides)
    hint = "same data, limit and seed for all runs (train.seed varies the training alone), or "
    for code, ids in wanted.items():
        refuse_apart(f"the runs differ, {code}", "item", ids, pairs[code][0].example_ids, sides=sides, hint=hint)


def _joined(run: TrainedRun, config: CompareConfig) -> Pairs:
    try:
        return join(run.before, run.after, config)
    except DataError as error:
        raise DataError(f"{run.name}: {error.message}", hint=error.hint) from None


def _both(first: tuple[str, ...], second: tuple[str, ...]) -> tuple[str, ...]:
    there = set(second)
    return tuple(example_id for example_id in first if example_id in there)


def seed_table(arms: Mapping[str, Sequence[Changes]], groups: Sequence[Group], config: CompareConfig) -> pd.DataFrame:
    """A row per arm with several seeds, group and metric: the seeds' deltas, the error that items make and the spread
    between seeds, and the pooled estimate that takes both."""
    import pandas as pd

    rows = []
    for arm, runs in arms.items():
        if len(runs) < 2:
            continue
        for group in groups:
            for metric in CHANGES:
                block = seed_block(runs, group, metric)
                items = estimate(block.mean(axis=1), metric, config.level)
                pooled = two_way(block, config.level, floor=_known(items.error))
                row = {"arm": arm, "group": group.name, "kind": group.kind, "metric": metric, "seeds": len(runs)}
                row |= {"deltas": [float(value) for value in block.mean(axis=0)], "items_error": items.error}
                row |= {"seed_deviation": float(block.mean(axis=0).std(ddof=1)), "delta": pooled.delta}
                row |= {"low": pooled.low, "high": pooled.high, "p": pooled.p}
                least = detectable_mean(pooled.error, alpha=1 - config.level, power=config.power)
                rows.append(
                    row | {"detectable": least, "verdict": outcome_of(pooled.delta, pooled.p, least, config).value}
                )
    return pd.DataFrame(rows)


def seed_block(runs: Sequence[Changes], group: Group, metric: str) -> Floats:
    """[items, seeds]: each item's part in the group's change, by seed."""
    return np.stack([run.block(metric, group.languages).mean(axis=1) for run in runs], axis=1)


def contrast_table(
    arms: Mapping[str, Sequence[Changes]], groups: Sequence[Group], config: CompareConfig
) -> pd.DataFrame:
    """A row per other arm, group (and single language) and metric: the first arm's change less the other's.

    Holm over the arms for a group, and over the languages for single ones.
    """
    import pandas as pd

    names = list(arms)
    real = arms[names[0]]
    singles = [Group(code, "language", (code,)) for code in real[0].languages]
    rows = []
    for name in names[1:]:
        for group in [*groups, *singles]:
            for metric in CHANGES:
                sides = (seed_block(real, group, metric), seed_block(arms[name], group, metric))
                found = contrast(*sides, metric, config.level)
                row: dict[str, Any] = {"against": name, "group": group.name, "kind": group.kind, "metric": metric}
                row |= {"languages": len(group.languages), "n": len(sides[0]), "delta": found.delta}
                row |= {"low": found.low, "high": found.high, "p": found.p}
                row["detectable"] = detectable_mean(found.error, alpha=1 - config.level, power=config.power)
                rows.append(row)
    table = pd.DataFrame(rows)
    if not rows:
        return table
    table["holm_p"] = np.nan
    for kind, part in table.groupby("kind"):
        family = ["against", "metric"] if kind in ("language", "script", "family", "own") else ["group", "metric"]
        for _, few in part.groupby(family):
            table.loc[few.index, "holm_p"] = corrected(few["p"].to_numpy(), "holm")
    table["verdict"] = [
        outcome_of(r["delta"], r["holm_p"], r["detectable"], config).value for r in table.to_dict("records")
    ]
    return table


def contrast(real: Floats, other: Floats, metric: str, level: float) -> Estimate:
    """Mean of `real` less mean of `other`, each [items, seeds], paired by item.

    With several seeds on a side, the spread between seeds (pooled over both sides) is added to the items' variance, and
    t takes Satterthwaite's degrees of freedom; it errs on the wide side, as the items' noise is in both.
    """
    from scipy.stats import t

    parts = real.mean(axis=1) - other.mean(axis=1)
    found = estimate(parts, metric, level)
    counts = (real.shape[1], other.shape[1])
    freedom = sum(counts) - 2
    if freedom == 0 or math.isnan(found.error):
        return found
    squares = sum(float(side.mean(axis=0).var()) * side.shape[1] for side in (real, other))
    between = squares / freedom * (1 / counts[0] + 1 / counts[1])
    error = math.sqrt(found.error**2 + between)
    items = found.error**4 / max(len(parts) - 1, 1)
    degrees = error**4 / (items + between**2 / freedom)
    half = float(t.ppf((1 + level) / 2, degrees)) * error
    p = float(2 * t.sf(abs(found.delta) / error, degrees))
    return Estimate(found.delta, found.delta - half, found.delta + half, error, p)


def _seed_sentences(found: Comparison, real: str) -> list[Sentence]:
    if found.seeds is None or not (found.seeds["arm"] == real).any():
        return []
    rows = found.seeds[(found.seeds["arm"] == real) & (found.seeds["metric"] == "accuracy")]
    sentences = []
    for row in records(rows[rows["kind"].isin(("all", "training"))]):
        sentences.append(
            Sentence(
                Topic.SEEDS.value,
                f"{_named(row['group'])}, over {row['seeds']} seeds: accuracy {points(row['delta'])} ({span(row)}), "
                f"with the error of items ({100 * row['items_error']:.1f} points) and the spread between seeds "
                f"({100 * row['seed_deviation']:.1f} points) both included: {row['verdict']}.",
                row,
            )
        )
    return sentences


def _contrast_sentences(found: Comparison, real: str) -> list[Sentence]:
    if found.contrasts is None:
        return []
    sentences = []
    for name in dict.fromkeys(found.contrasts["against"]):
        rows = found.contrasts[found.contrasts["against"] == name]
        groups = rows[rows["kind"].isin(("all", "training"))]["group"]
        for group in dict.fromkeys(groups):
            row, told, area = (pick(rows, group, metric) for metric in ("accuracy", "calibrated_accuracy", "auroc"))
            end = {Outcome.IMPROVED: f"{real} beats {name}", Outcome.WORSE: f"{name} beats {real}"}.get(
                row["verdict"], f"no evidence that {real} beats {name}"
            )
            if row["verdict"] == Outcome.UNDERPOWERED:
                end += f" (underpowered, {100 * row['detectable']:.1f} points would be found)"
            sentences.append(
                Sentence(
                    Topic.PLACEBO.value,
                    f"{_named(group)}, {real} against {name}: accuracy {points(row['delta'])} ({span(row)}), "
                    f"calibrated {points(told['delta'])} ({span(told)}), AUROC {area_span(area)}: {end}.",
                    {"against": name, "group": group, "verdict": row["verdict"]}
                    | {
                        metric: {key: float(one[key]) for key in ("delta", "low", "high", "p", "holm_p")}
                        for metric, one in (("accuracy", row), ("calibrated_accuracy", told), ("auroc", area))
                    },
                )
            )
    return sentences


def _named(group: str) -> str:
    return {"all": "All languages", "seen": "Trained-on languages", "unseen": "Unseen languages"}.get(group, group)


def _known(error: float) -> float:
    return 0.0 if math.isnan(error) else error
