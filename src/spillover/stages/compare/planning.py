"""Planning a comparison: what n items can detect, from numbers, from a run or from a published table."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING

from spillover.core.config import CompareConfig
from spillover.core.declared_measure import declared_measure
from spillover.core.errors import ConfigError, DataError, RunError
from spillover.core.files import read_csv
from spillover.core.runs import Run
from spillover.core.tables import Column, check_columns
from spillover.stages.compare.language_groups import groups_of
from spillover.stages.compare.measures import ACCURACY, AUROC, MEASURES, Measure
from spillover.stages.compare.pairing import Changes, changes_of, join
from spillover.stages.compare.primary import primary_measure
from spillover.stages.compare.stage import read_evaluations, training_languages
from spillover.stats.contributions import estimate
from spillover.stats.power import (
    area_deviation,
    chance_bound,
    independent_discordance,
    items_needed,
    items_needed_mean,
    minimum_detectable,
    minimum_detectable_mean,
)

if TYPE_CHECKING:
    import pandas as pd

PUBLISHED_COLUMNS = (
    Column("language", "as the file names it"),
    Column("before", "accuracy", "share", "0 to 1"),
    Column("after", "accuracy", "share", "0 to 1"),
    Column("change", "after minus before", "share", "-1 to 1"),
    Column("bound", "the largest change that chance alone explains", "share"),
    Column("clears", "whether the change exceeds it"),
    Column("clears_corrected", "whether it exceeds the bound for as many languages, the first step of Holm"),
)


@dataclass(frozen=True)
class MeanPlan:
    """What the mean over a group of languages can detect, whose items are answered right or wrong together. group: all,
    or unseen. detectable: a share. needed: items a language for a change of the plan's effect."""

    group: str
    languages: int
    detectable: float
    needed: int


@dataclass(frozen=True)
class PowerPlan:
    """What a comparison can detect before it is run. measure: its title. Shares, not points. discordance: share of
    flipped items; None for AUROC, whose test does not go by flips. deviation: standard deviation of an item's
    contribution to the change. `corrected`: for one language among all, at the first step of Holm; `needed`: items for
    a change of `effect`, single and corrected; by a two-sided test at `alpha` with this power. mean: of several
    languages, where the plan is made from a run."""

    measure: str
    items: int
    languages: int
    discordance: float | None
    deviation: float
    effect: float
    detectable: float
    corrected: float
    needed: int
    needed_corrected: int
    alpha: float
    power: float
    mean: MeanPlan | None = None

    def __str__(self) -> str:
        measure = next(one for one in MEASURES.values() if one.title == self.measure)
        spread = (
            f"standard deviation of an item's contribution {self.deviation:.2f}"
            if self.discordance is None
            else f"{100 * self.discordance:.1f} % of them flipped"
        )
        lines = [
            f"{self.items} items, {spread}; power {100 * self.power:g} %, "
            f"two-sided significance level {100 * self.alpha:.2g} %, by {self.measure}.",
            f"- one language alone: minimum detectable change {_size(measure, self.detectable)}.",
        ]
        needs = f"- a change of {measure.size(self.effect)} needs {self.needed:,} items"
        if self.languages > 1:
            lines.append(f"- one of {self.languages} languages, after Holm: {_size(measure, self.corrected)}.")
            needs += f", after Holm {self.needed_corrected:,}"
        lines.append(f"{needs}.")
        if self.mean is not None:
            of = f"{self.mean.languages} {self.mean.group}".removesuffix(" all")
            lines.append(
                f"- mean over {of} languages: minimum detectable change {_size(measure, self.mean.detectable)}; "
                f"a change of {measure.size(self.effect)} needs {self.mean.needed:,} items a language."
            )
        return "\n".join(lines)


def _size(measure: Measure, share: float) -> str:
    return "none, not even a change of every item" if math.isnan(share) else measure.size(share)


def plan(
    *,
    items: int,
    discordance: float,
    languages: int = 1,
    config: CompareConfig | None = None,
    measure: Measure = ACCURACY,
) -> PowerPlan:
    """The plan for n items a language by accuracy, raw or calibrated, with the effect, level and power of a config.
    ConfigError for a discordance outside 0 and 1."""
    if not 0 < discordance < 1:
        raise ConfigError(f"discordance: expected a share between 0 and 1, found {discordance}", hint="5 % are 0.05")
    return _plan(
        measure,
        (items, languages),
        (discordance, math.sqrt(discordance)),
        lambda alpha, power: minimum_detectable(items, discordance, alpha=alpha, power=power),
        lambda effect, alpha, power: items_needed(effect, discordance, alpha=alpha, power=power),
        config,
    )


def plan_area(*, items: int, deviation: float, languages: int = 1, config: CompareConfig | None = None) -> PowerPlan:
    """The same by AUROC. deviation: of an item's contribution, see `stats.power.area_deviation`."""
    return _plan(
        AUROC,
        (items, languages),
        (None, deviation),
        lambda alpha, power: minimum_detectable_mean(deviation / math.sqrt(items), alpha=alpha, power=power),
        lambda effect, alpha, power: items_needed_mean(effect, deviation, alpha=alpha, power=power),
        config,
    )


def _plan(
    measure: Measure,
    counts: tuple[int, int],
    spread: tuple[float | None, float],
    detectable: Callable[[float, float], float],
    needed: Callable[[float, float, float], int],
    config: CompareConfig | None,
) -> PowerPlan:
    """counts: items and languages. spread: discordance and deviation. detectable: of level and power. needed: of
    effect, level and power."""
    config = config or CompareConfig()
    items, languages = counts
    if items < 1 or languages < 1:
        raise ConfigError(f"{items} items, {languages} languages: at least one of each", hint="--items, --languages")
    alpha, effect, power = 1 - config.level, config.effect, config.power
    strict = alpha / languages
    return PowerPlan(
        measure=measure.title,
        items=items,
        languages=languages,
        discordance=spread[0],
        deviation=spread[1],
        effect=effect,
        detectable=detectable(alpha, power),
        corrected=detectable(strict, power),
        needed=needed(effect, alpha, power),
        needed_corrected=needed(effect, strict, power),
        alpha=alpha,
        power=power,
    )


def plan_like(
    run: Run,
    *,
    before: str = "base",
    after: str = "tuned",
    items: int | None = None,
    languages: int | None = None,
    discordance: float | None = None,
    config: CompareConfig | None = None,
) -> PowerPlan:
    """The plan for a comparison like the one of a run's first task, by its primary measure: its items, languages and
    share of flipped items, where they are not given. Where none flipped, 3 in n may (the rule of three). By AUROC the
    spread of the items' contributions is the run's; RunError where it has none. Without a discordance of one's own, the
    mean over the languages that were not trained on (over all, where none was) is planned too."""
    config = config or CompareConfig()
    old, new = (read_evaluations(run, name)[0] for name in (before, after))
    pairs = join(old, new, config)
    measure = primary_measure(pairs, config, declared_measure(run)).measure
    changes = changes_of(pairs, config.calibration)
    n_items = {code: changes.n_items([code]) for code in changes.languages}
    items, languages = items or min(n_items.values()), languages or len(n_items)
    if measure is AUROC and discordance is None:
        variances = [measure.error(changes, code) ** 2 * n for code, n in n_items.items()]
        known = [variance for variance in variances if not math.isnan(variance)]
        if not known:
            raise RunError(f"{run.path}: the change in AUROC has no spread to plan with", hint="--items and --auroc")
        alone = plan_area(items=items, deviation=math.sqrt(fmean(known)), languages=languages, config=config)
        return replace(alone, mean=_mean_plan(changes, measure, training_languages(run), items, config))
    counted = measure if measure.of_hits else ACCURACY
    flipped = fmean(float((changes.items_of_language(counted.metric, code) ** 2).mean()) for code in n_items)
    mean = None if discordance else _mean_plan(changes, counted, training_languages(run), items, config)
    discordance = discordance or flipped or min(3 / items, 0.5)
    return replace(
        plan(items=items, discordance=discordance, languages=languages, config=config, measure=counted), mean=mean
    )


def _mean_plan(
    changes: Changes, measure: Measure, trained: Sequence[str], items: int, config: CompareConfig
) -> MeanPlan | None:
    """The plan of the mean; None for fewer than two languages, or where nothing varies. The standard error is that of
    the comparison, and falls with the square root of the items."""
    groups = {group.name: group.languages for group in groups_of(changes.languages, trained)}
    name = "unseen" if "unseen" in groups else "all"
    codes = groups[name]
    if len(codes) < 2:
        return None
    means = changes.contribution_matrix(measure.metric, codes).mean(axis=1)
    error = estimate(means, measure.metric, config.level, clustered=changes.clustered).error
    if not error > 0:
        return None
    error *= math.sqrt(changes.n_items(codes) / items)
    clusters = len(means) if changes.clustered else None
    detectable = minimum_detectable_mean(error, alpha=1 - config.level, power=config.power, clusters=clusters)
    return MeanPlan(name, len(codes), detectable, math.ceil(items * (detectable / config.effect) ** 2))


def read_published(path: Path, items: int, *, level: float = 0.95) -> pd.DataFrame:
    """A published table of accuracies read as counts, with `PUBLISHED_COLUMNS`.

    The file is a CSV with a row per language and shares between 0 and 1. DataError names the line and the value that
    are not.
    """
    import pandas as pd

    rows = [_published_row(path, line, row) for line, row in read_csv(path)]
    table = pd.DataFrame(rows, columns=["language", "before", "after"])
    changes = table["after"] - table["before"]
    bounds, corrected = (
        pd.Series([chance_bound(before, after, items, alpha=alpha) for _, before, after in rows])
        for alpha in (1 - level, (1 - level) / len(rows))
    )
    clears = changes.abs() > bounds
    table = table.assign(change=changes, bound=bounds, clears=clears, clears_corrected=changes.abs() > corrected)
    return check_columns(table, PUBLISHED_COLUMNS)


def _published_row(path: Path, line: int, row: Mapping[str, str]) -> tuple[str, float, float]:
    lacking = [name for name in ("language", "before", "after") if not row.get(name)]
    if lacking:
        raise DataError(f"{path}:{line}: no {' and no '.join(lacking)}", hint="language,before,after on the first line")
    return row["language"], _share(path, line, row["before"]), _share(path, line, row["after"])


def _share(path: Path, line: int, text: str) -> float:
    share = _number(text)
    if not 0 <= share <= 1:
        raise DataError(f"{path}:{line}: {text!r} is not a share between 0 and 1", hint=_share_hint(text))
    return share


def _number(text: str) -> float:
    """A number with a decimal point; NaN for anything else."""
    try:
        return float(text)
    except ValueError:
        return math.nan


def _share_hint(text: str) -> str:
    """How to write a decimal comma or a percentage: `write 0.8 for 80 %`."""
    point = text.replace(",", ".")
    if 0 <= _number(point) <= 1:
        return f"write {point.strip()}, with a decimal point"
    percent = _number(point.replace("%", ""))
    return f"write {percent / 100:g} for {percent:g} %" if 0 <= percent <= 100 else "a share, as in 0.92"


def discordance_of(accuracies: str) -> float:
    """The share of flipped items if errors are independent, from "0.87,0.91": accuracy before and after. ConfigError
    when these are not two shares."""
    return independent_discordance(*_two_shares("accuracy", accuracies, (0.87, 0.91)))


def deviation_of(areas: str, correlation: float = 0.0) -> float:
    """The standard deviation of an item's contribution, from "0.70,0.75": AUROC before and after. correlation: of the
    two models' scores within a label. ConfigError when these are not two areas between 0 and 1, or no correlation."""
    before, after = _two_shares("auroc", areas, (0.7, 0.75))
    if not (0 < before < 1 and 0 < after < 1):
        raise ConfigError(f"auroc {areas}: at 0 and at 1 nothing varies", hint="areas between them, as in 0.70,0.99")
    if not -1 < correlation < 1:
        raise ConfigError(f"correlation {correlation:g}: expected a number between -1 and 1", hint="0.5, as a guess")
    return area_deviation(before, after, correlation=correlation)


def _two_shares(name: str, text: str, example: tuple[float, float]) -> tuple[float, float]:
    as_in = f"as in {example[0]},{example[1]}"
    try:
        before, after = (float(part) for part in text.split(","))
    except ValueError:
        raise ConfigError(f"{name} {text}: expected two shares, {as_in}") from None
    if not (0 <= before <= 1 and 0 <= after <= 1):
        raise ConfigError(f"{name} {text}: shares are between 0 and 1, {as_in}")
    return before, after
