"""What a paired test of n items can detect, and how many items a claim needs.

The standard error of a paired change in accuracy comes from the flipped items alone; their share is the discordance.
The formula is the usual one for McNemar's test (Connor 1987). Changes are shares, 0.05 is 5 points. Of a change in
AUROC it comes from how the two models rank the items; of a mean over languages, from what was measured.
"""

from __future__ import annotations

import math

from spillover.stats.intervals import NORMAL, Standard


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


def minimum_detectable_mean(
    error: float, *, alpha: float = 0.05, power: float = 0.8, clusters: int | None = None
) -> float:
    """The same for a mean over languages, from its standard error. clusters: how many it was estimated from; the
    quantiles are then those of t, as in the test."""
    standard = NORMAL if clusters is None else Standard(clusters - 1)
    return (standard.ppf(1 - alpha / 2) + standard.ppf(power)) * error


def items_needed_mean(effect: float, deviation: float, *, alpha: float = 0.05, power: float = 0.8) -> int:
    """Items for a mean of contributions whose standard deviation is `deviation`, to detect a change of `effect`."""
    return math.ceil((minimum_detectable_mean(deviation, alpha=alpha, power=power) / effect) ** 2)


def area_deviation(before: float, after: float, *, correlation: float = 0.0, share: float = 0.5) -> float:
    """The standard deviation of an item's contribution to a change in the AUROC of two labels, from the areas before
    and after, both between 0 and 1: the standard error of n items is this over the square root of n.

    DeLong's variance (1988) in closed form, for scores that are normal within each label with equal variance
    (binormal). correlation: of the two models' scores within a label; with 0 the variance is larger than with any
    positive one. share: of items with one of the labels.
    """
    covariances = [
        _placement_covariance(first, second, 1.0 if i == j else correlation)
        for i, first in enumerate((before, after))
        for j, second in enumerate((before, after))
    ]
    variance = covariances[0] + covariances[3] - covariances[1] - covariances[2]
    return math.sqrt(max(variance, 0.0) * (1 / share + 1 / (1 - share)))


def _placement_covariance(first: float, second: float, correlation: float) -> float:
    """Of the placement values of one item under two models with these areas. That a score exceeds a random one of the
    other label is a normal event, and two models' events correlate by half of what their scores do."""
    from scipy.stats import multivariate_normal, norm

    ends = norm.ppf([first, second])
    joint = multivariate_normal([0, 0], [[1, correlation / 2], [correlation / 2, 1]]).cdf(ends)
    return float(joint) - first * second


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
