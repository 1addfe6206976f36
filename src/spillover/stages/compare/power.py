"""What a comparison of n items can find, and how many items a claim needs.

The error of a paired change comes from the items that turned either way alone, their share being the discordance. The
formula is the usual one for McNemar's test (Connor 1987).
"""

from __future__ import annotations

import csv
import io
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spillover.core.errors import ConfigError, DataError
from spillover.core.files import read_text

if TYPE_CHECKING:
    import pandas as pd


def items_needed(effect: float, discordance: float, *, alpha: float = 0.05, power: float = 0.8) -> int:
    """Items for a two-sided test at `alpha` to find a change of `effect` (a share) with this power.

    A change cannot be larger than the share of items that turned: the discordance is at least `effect`.
    """
    from scipy.stats import norm

    _check(effect=effect, alpha=alpha, power=power)
    turned = max(discordance, effect)
    under_none, under_effect = norm.ppf(1 - alpha / 2), norm.ppf(power)
    root = under_none * math.sqrt(turned) + under_effect * math.sqrt(turned - effect**2)
    return math.ceil(float((root / effect) ** 2))


def detectable(items: int, discordance: float, *, alpha: float = 0.05, power: float = 0.8) -> float:
    """The smallest change (a share) that a two-sided test at `alpha` finds with this power. NaN when not even a change
    of every item would be found, or when the discordance is not known."""
    from scipy.optimize import brentq

    if items < 1 or math.isnan(discordance):
        return math.nan

    def lacking(effect: float) -> float:
        from scipy.stats import norm

        turned = max(discordance, effect)
        reach = norm.ppf(1 - alpha / 2) * math.sqrt(turned) + norm.ppf(power) * math.sqrt(turned - effect**2)
        return float(effect * math.sqrt(items) - reach)

    return math.nan if lacking(1.0) < 0 else float(brentq(lacking, 1e-9, 1.0))


def detectable_mean(error: float, *, alpha: float = 0.05, power: float = 0.8) -> float:
    """The same for a mean over languages, from its standard error."""
    from scipy.stats import norm

    return float((norm.ppf(1 - alpha / 2) + norm.ppf(power)) * error)


def independent_discordance(before: float, after: float) -> float:
    """The share of items that turn when the two models' errors have nothing to do with each other. Two models of one
    family mostly agree more than that: the true share is lower, never below the change itself."""
    return before * (1 - after) + after * (1 - before)


def clears(before: float, after: float, items: int, *, discordance: float | None = None, alpha: float = 0.05) -> bool:
    """Whether a change between two published accuracies exceeds its uncorrected two-sided bound at n items."""
    return abs(after - before) > bound(before, after, items, discordance=discordance, alpha=alpha)


def bound(before: float, after: float, items: int, *, discordance: float | None = None, alpha: float = 0.05) -> float:
    """How large a change (a share) between these accuracies chance alone makes at n items, two-sided at `alpha`."""
    from scipy.stats import norm

    turned = independent_discordance(before, after) if discordance is None else discordance
    turned = max(turned, abs(after - before))
    return float(norm.ppf(1 - alpha / 2)) * math.sqrt(max(turned - (after - before) ** 2, 0.0) / items)


def read_published(path: Path, items: int, *, level: float = 0.95) -> pd.DataFrame:
    """A published table of accuracies read as counts: `language`, `before`, `after`, `change`, `bound`, `clears` (the
    change exceeds it) and `clears_corrected` (it exceeds one for as many languages, the first step of Holm).

    The file is a CSV with a row per language and shares between 0 and 1. DataError names the line that is not.
    """
    import pandas as pd

    rows: list[dict[str, Any]] = []
    for line, row in enumerate(csv.DictReader(io.StringIO(read_text(path))), start=2):
        try:
            before, after = (float(row[key]) for key in ("before", "after"))
            good = 0 <= before <= 1 and 0 <= after <= 1
        except (KeyError, TypeError, ValueError):
            good = False
        if not good or not row.get("language"):
            raise DataError(
                f"{path}:{line}: expected language, before and after, shares between 0 and 1",
                hint="as in zh,0.924,0.948",
            )
        rows.append({"language": row["language"], "before": before, "after": after})
    if not rows:
        raise DataError(f"{path}: no rows", hint="language,before,after on the first line, then a row per language")
    for row in rows:
        pair = (row["before"], row["after"], items)
        row |= {"change": row["after"] - row["before"], "bound": bound(*pair, alpha=1 - level)}
        row |= {"clears": clears(*pair, alpha=1 - level)}
        row |= {"clears_corrected": clears(*pair, alpha=(1 - level) / len(rows))}
    return pd.DataFrame(rows)


@dataclass(frozen=True)
class Plan:
    """What a comparison can find before it is run. Shares, not points. `corrected`: for one language among all, at the
    first step of Holm; `needed`: items for a change of `effect`, single and corrected; by a two-sided test at `alpha`
    that finds it with this power."""

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
            f"{self.items} items, {100 * self.discordance:.1f} % of them turning; found: in {100 * self.power:g} % of "
            f"cases, at {100 * self.alpha:.2g} %.",
            f"- one language alone: {_points(self.detectable)} is found.",
        ]
        needs = f"- a change of {100 * self.effect:.1f} points needs {self.needed:,} items"
        if self.languages > 1:
            lines.append(f"- one of {self.languages} languages, after Holm: {_points(self.corrected)} is found.")
            needs += f", after Holm {self.needed_corrected:,}"
        return "\n".join([*lines, f"{needs}."])


def plan(
    *,
    items: int,
    discordance: float,
    languages: int = 1,
    effect: float = 0.05,
    alpha: float = 0.05,
    power: float = 0.8,
) -> Plan:
    """The plan for n items. ConfigError for shares outside 0 and 1."""
    _check(discordance=discordance, effect=effect)
    if items < 1 or languages < 1:
        raise ConfigError(f"{items} items, {languages} languages: at least one of each", hint="--items, --languages")
    strict = alpha / languages
    return Plan(
        items,
        languages,
        discordance,
        effect,
        detectable(items, discordance, alpha=alpha, power=power),
        detectable(items, discordance, alpha=strict, power=power),
        items_needed(effect, discordance, alpha=alpha, power=power),
        items_needed(effect, discordance, alpha=strict, power=power),
        alpha,
        power,
    )


def _check(**shares: float) -> None:
    problems = [f"{name}: expected a share between 0 and 1, found {value}" for name, value in shares.items()
                if not 0 < value < 1]  # fmt: skip
    if problems:
        raise ConfigError(problems, hint="5 points are 0.05")


def _points(share: float) -> str:
    return "no change, not even of every item," if math.isnan(share) else f"a change of {100 * share:.1f} points"
