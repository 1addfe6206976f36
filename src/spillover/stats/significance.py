"""Tests of paired differences: McNemar and its generalisation to ties, non-inferiority, and multiple comparisons."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np

from spillover.core.types import Floats
from spillover.stats.intervals import NORMAL, PSEUDO_OBSERVATIONS, UNVARIED, distribution, skewed_mean

# Contributions are counted in sixtieths of an item, exact for ties of up to six labels.
STEPS_PER_ITEM = 60


def mcnemar(gained: int, lost: int) -> float:
    """Exact two-sided McNemar p of newly correct and newly wrong items; 1 when there are none."""
    from scipy.stats import binomtest

    return float(binomtest(gained, gained + lost, 0.5).pvalue) if gained + lost else 1.0


def mcnemar_mid(gained: int, lost: int) -> float:
    """The mid-p of the same test: its size is closer to the nominal level than the exact one's, which is conservative
    (Fagerland et al. 2013)."""
    from scipy.stats import binom

    if gained == lost:
        return 1.0
    return float(min(1.0, mcnemar(gained, lost) - binom.pmf(min(gained, lost), gained + lost, 0.5)))


def sign_flip_test(contributions: Floats) -> tuple[float, float]:
    """(exact, mid) two-sided p of "before and after are exchangeable", from differences of hits [n] in [-1, 1]: the
    share of all exchanges of the two sides, item by item, whose sum is at least as large.

    Without ties it is McNemar's test. A tie is a fraction of a hit: half a flipped item must not count as a whole one.
    Contributions are rounded to the nearest sixtieth, exact for ties of up to six labels.
    NaN for fewer than two items, 1 where none flipped.
    """
    from scipy.signal import convolve
    from scipy.stats import binom

    if len(contributions) < 2 or np.isnan(contributions).any():
        return math.nan, math.nan
    steps = np.rint(contributions * STEPS_PER_ITEM).astype(np.int64)
    sizes, counts = np.unique(np.abs(steps[steps != 0]), return_counts=True)
    if len(sizes) < 2:
        flipped = int((steps > 0).sum()), int((steps < 0).sum())
        return mcnemar(*flipped), mcnemar_mid(*flipped)
    unit = int(np.gcd.reduce(sizes))
    sizes, observed = sizes // unit, abs(int(steps.sum())) // unit
    probabilities = np.ones(1)  # of each sum of the sizes that fall to one side
    for size, count in zip(sizes, counts, strict=True):
        of_this_size = np.zeros(size * count + 1)
        of_this_size[::size] = binom.pmf(np.arange(count + 1), count, 0.5)
        probabilities = np.maximum(convolve(probabilities, of_this_size), 0)
    place = (len(probabilities) - 1 + observed) // 2
    beyond, equal = float(probabilities[place + 1 :].sum()), float(probabilities[place])
    return min(1.0, 2 * (beyond + equal)), min(1.0, 2 * beyond + equal) if observed else 1.0


def noninferiority_test(
    contributions: Floats, margin: float, size: float, *, clustered: bool = False
) -> tuple[float, float, float]:
    """(change, high, p) of "it fell by more than `margin`", one-sided, for contributions and the interval of
    `intervals.skewness_adjusted`.

    size: the significance level. high: the upper bound of the change, which covers the true one in a share 1 - size of
    cases. p: of a fall as large as this where the true one is the margin. Where nothing varies there is no error, and
    the change itself decides: p is 0 or 1. clustered: whether the contributions are those of clusters. NaN for fewer
    than two items."""
    if len(contributions) < 2 or np.isnan(contributions).any():
        return float(contributions.mean()) if len(contributions) else math.nan, math.nan, math.nan
    mean = skewed_mean(contributions, PSEUDO_OBSERVATIONS, clustered=clustered)
    if mean is None:
        change = float(contributions.mean())
        return change, change, float(change >= -margin - UNVARIED)
    return mean.estimate, min(mean.interval(1 - 2 * size)[1], 1.0), mean.standard.cdf(mean.statistic(-margin))


def tango_statistic(gained: float, lost: float, n: float, change: float) -> float:
    """Tango's (1998) score statistic of a paired difference of proportions, standard normal if `change` is true.

    It is defined also where no item flipped: the standard error is the one under `change`."""
    first = -gained - lost + (2 * n - gained + lost) * change
    root = math.sqrt(max(first**2 + 8 * n * lost * change * (1 - change), 0.0))
    share_lost = max((root - first) / (4 * n), 0.0)
    variance = n * (2 * share_lost + change * (1 - change))
    residual = gained - lost - n * change
    return residual / math.sqrt(variance) if variance > 0 else math.copysign(math.inf, residual) if residual else 0.0


def tango_test(
    contributions: Floats, margin: float, level: float, *, clustered: bool = False
) -> tuple[float, float, float]:
    """(low, high, p): Tango's interval of a mean of differences of hits, and the one-sided p of "it fell by `margin` or
    more". A tie flips a fraction of an item: flips are counted in items of that size, so that the standard error is
    theirs. clustered: whether the contributions are those of clusters; the score statistic then has t's quantiles.
    NaN for fewer than two items."""
    if len(contributions) < 2:
        return math.nan, math.nan, math.nan
    size = float((contributions**2).sum() / np.abs(contributions).sum()) if contributions.any() else 1.0
    gained = float(contributions[contributions > 0].sum()) / size
    lost = float(-contributions[contributions < 0].sum()) / size
    n, standard = len(contributions) / size, distribution(len(contributions), clustered=clustered)
    # The level at which the normal quantile is the one that is wanted.
    level = 2 * NORMAL.cdf(standard.ppf((1 + level) / 2)) - 1
    return *tango_interval(gained, lost, n, level), standard.sf(tango_statistic(gained, lost, n, -margin))


def tango_interval(gained: float, lost: float, n: float, level: float) -> tuple[float, float]:
    """(low, high): the changes that Tango's test does not reject, for a claim of non-inferiority."""
    from scipy.optimize import brentq

    bound, delta, edge = NORMAL.ppf((1 + level) / 2), (gained - lost) / n, 1 - 1e-9

    def end(side: int) -> float:
        if abs(tango_statistic(gained, lost, n, side * edge)) < bound:
            return float(side)
        return float(brentq(lambda change: abs(tango_statistic(gained, lost, n, change)) - bound, delta, side * edge))

    return end(-1), end(1)


def corrected(p_values: Floats, method: Literal["holm", "fdr_bh"]) -> Floats:
    """[k]: p-values corrected over all that are defined, by Holm or Benjamini-Hochberg. NaN stays NaN.

    Equal to statsmodels', which collects garbage at each call: a tenth of a second for twenty numbers."""
    from scipy.stats import false_discovery_control

    result = np.full(len(p_values), np.nan)
    defined = np.flatnonzero(~np.isnan(p_values))
    if len(defined) and method == "holm":
        order = defined[np.argsort(p_values[defined], kind="stable")]
        steps = p_values[order] * np.arange(len(order), 0, -1)
        result[order] = np.minimum(np.maximum.accumulate(steps), 1)
    elif len(defined):
        result[defined] = false_discovery_control(p_values[defined], method="bh")
    return result
