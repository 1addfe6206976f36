"""What a paired test of n items can detect, and how many items a claim needs.

The standard error of a paired change comes from the flipped items alone; their share is the discordance. The formula is
the usual one for McNemar's test (Connor 1987). Changes are shares, 0.05 is 5 points.
"""

from __future__ import annotations

import math


def items_needed(effect: float, discordance: float, *, alpha: float = 0.05, power: float = 0.8) -> int:
    """Items for a two-sided test at `alpha` to detect a change of `effect`, in (0, 1), with this power.

    A change cannot exceed the share of flipped items: the discordance is at least `effect`.
    """
    from scipy.stats import norm

    flipped = max(discordance, effect)
    under_null, under_effect = norm.ppf(1 - alpha / 2), norm.ppf(power)
    root = under_null * math.sqrt(flipped) + under_effect * math.sqrt(flipped - effect**2)
    return math.ceil(float((root / effect) ** 2))


def minimum_detectable(items: int, discordance: float, *, alpha: float = 0.05, power: float = 0.8) -> float:
    """The smallest change that a two-sided test at `alpha` detects with this power. NaN when not even a change of every
    item would be detected, or when the discordance is NaN."""
    from scipy.optimize import brentq
    from scipy.stats import norm

    if items < 1 or math.isnan(discordance):
        return math.nan
    under_null, under_effect = norm.ppf(1 - alpha / 2), norm.ppf(power)

    def excess(effect: float) -> float:
        flipped = max(discordance, effect)
        reach = under_null * math.sqrt(flipped) + under_effect * math.sqrt(flipped - effect**2)
        return float(effect * math.sqrt(items) - reach)

    return math.nan if excess(1.0) < 0 else float(brentq(excess, 1e-9, 1.0))


def minimum_detectable_mean(error: float, *, alpha: float = 0.05, power: float = 0.8) -> float:
    """The same for a mean over languages, from its standard error."""
    from scipy.stats import norm

    return float((norm.ppf(1 - alpha / 2) + norm.ppf(power)) * error)


def independent_discordance(before: float, after: float) -> float:
    """The share of flipped items if the two models' errors are independent, from their accuracies. Two models of one
    family mostly agree more than that: the true share is lower, but never below the change itself."""
    return before * (1 - after) + after * (1 - before)


def chance_bound(
    before: float, after: float, items: int, *, discordance: float | None = None, alpha: float = 0.05
) -> float:
    """The largest change between these accuracies that chance alone explains at n items, two-sided at `alpha`.
    discordance: that of independent errors when None."""
    from scipy.stats import norm

    flipped = independent_discordance(before, after) if discordance is None else discordance
    flipped = max(flipped, abs(after - before))
    return float(norm.ppf(1 - alpha / 2)) * math.sqrt(max(flipped - (after - before) ** 2, 0.0) / items)
