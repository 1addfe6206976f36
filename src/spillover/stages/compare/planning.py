"""Planning a comparison: what n items can detect, from numbers, from a run or from a published table."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from spillover.core.config import CompareConfig
from spillover.core.errors import ConfigError, DataError
from spillover.core.files import read_csv
from spillover.core.runs import Run
from spillover.core.tables import Column, check_columns
from spillover.stages.compare.stage import compare, read_evaluations
from spillover.stats.power import chance_bound, independent_discordance, items_needed, minimum_detectable

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
class PowerPlan:
    """What a comparison can detect before it is run. Shares, not points. `corrected`: for one language among all, at
    the first step of Holm; `needed`: items for a change of `effect`, single and corrected; by a two-sided test at
    `alpha` with this power."""

    items: int
    languages: int
    discordance: float
    effect: float
    detectable: float
    corrected: float
    needed: int
    needed_corrected: int
    alpha: float
    power: float

    def __str__(self) -> str:
        lines = [
            f"{self.items} items, {100 * self.discordance:.1f} % of them flipped; power {100 * self.power:g} %, "
            f"two-sided significance level {100 * self.alpha:.2g} %.",
            f"- one language alone: minimum detectable change {_points(self.detectable)}.",
        ]
        needs = f"- a change of {100 * self.effect:.1f} points needs {self.needed:,} items"
        if self.languages > 1:
            lines.append(f"- one of {self.languages} languages, after Holm: {_points(self.corrected)}.")
            needs += f", after Holm {self.needed_corrected:,}"
        return "\n".join([*lines, f"{needs}."])


def plan(
    *,
    items: int,
    discordance: float,
    languages: int = 1,
    config: CompareConfig | None = None,
) -> PowerPlan:
    """The plan for n items a language, with the effect, level and power of a config. ConfigError for a discordance
    outside 0 and 1."""
    config = config or CompareConfig()
    if not 0 < discordance < 1:
        raise ConfigError(f"discordance: expected a share between 0 and 1, found {discordance}", hint="5 % are 0.05")
    if items < 1 or languages < 1:
        raise ConfigError(f"{items} items, {languages} languages: at least one of each", hint="--items, --languages")
    alpha, effect, power = 1 - config.level, config.effect, config.power
    strict = alpha / languages
    return PowerPlan(
        items=items,
        languages=languages,
        discordance=discordance,
        effect=effect,
        detectable=minimum_detectable(items, discordance, alpha=alpha, power=power),
        corrected=minimum_detectable(items, discordance, alpha=strict, power=power),
        needed=items_needed(effect, discordance, alpha=alpha, power=power),
        needed_corrected=items_needed(effect, discordance, alpha=strict, power=power),
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
    """The plan for a comparison like the one of a run's first task: its items, languages and share of flipped items,
    where they are not given. Where none flipped, 3 in n may (the rule of three)."""
    config = config or CompareConfig()
    old, new = (read_evaluations(run, name)[0] for name in (before, after))
    table = compare(old, new, config=config.model_copy(update={"draws": 1, "against": []})).languages
    items = items or int(table["n"].min())
    flipped = float(((table["gained"] + table["lost"]) / table["n"]).mean())
    discordance = discordance or flipped or min(3 / items, 0.5)
    return plan(items=items, discordance=discordance, languages=languages or len(table), config=config)


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
    try:
        before, after = (float(part) for part in accuracies.split(","))
    except ValueError:
        raise ConfigError(f"accuracy {accuracies}: expected two shares, as in 0.87,0.91") from None
    if not (0 <= before <= 1 and 0 <= after <= 1):
        raise ConfigError(f"accuracy {accuracies}: shares are between 0 and 1, as in 0.87,0.91")
    return independent_discordance(before, after)


def _points(share: float) -> str:
    return "none, not even a change of every item" if math.isnan(share) else f"{100 * share:.1f} points"
