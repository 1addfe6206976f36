"""Intervals of a mean of paired differences, each item's contribution to it being known.

Which interval is reported was chosen by simulation (experiments/2026-11-23-interval-coverage.md): with 100 items and
accuracies near the edge, the coverage of the percentile bootstrap and of the plain normal interval is below the nominal
level. Where contributions are those of clusters, Student's t with one degree of freedom less than clusters takes the
normal distribution's place: there are often few of them, and the standard error is then itself uncertain.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from spillover.core.types import Floats

# A standard error below this is rounding: nothing varies.
UNVARIED = 1e-12
# Added to the variance of a skewness-adjusted interval. Chosen by simulation: with 1, the interval of a change from
# 0.983 to 0.990 of 100 items covers the true value in 92 %; with 2, that of 20 languages at 0.99 in over 97 %.
PSEUDO_OBSERVATIONS = 1.5
# The same for contributions of clusters, in squares. Chosen by simulation: with 1, the interval of no change at 0.9 of
# 10 clusters covers the true value in over 97 %; with 0.5, that from 0.6 to 0.7 of very unequal ones in 92 %.
CLUSTER_PSEUDO = 0.75


@dataclass(frozen=True)
class Standard:
    """The standard normal distribution, or Student's t with `freedom` degrees of freedom.

    The numbers of scipy.stats, without its checks of arguments: these take a hundred times as long as the number."""

    freedom: float | None = None

    def ppf(self, share: float) -> float:
        """The quantile below which lies this share, between 0 and 1."""
        from scipy.special import ndtri, stdtrit

        return float(ndtri(share) if self.freedom is None else stdtrit(self.freedom, share))

    def cdf(self, value: float) -> float:
        """The share below a value."""
        from scipy.special import ndtr, stdtr

        return float(ndtr(value) if self.freedom is None else stdtr(self.freedom, value))

    def sf(self, value: float) -> float:
        """The share above a value."""
        return self.cdf(-value)


NORMAL = Standard()


def distribution(n: int, *, clustered: bool) -> Standard:
    """What a mean of n contributions over its standard error is distributed as: normal, or t with n - 1 degrees of
    freedom where they are those of clusters."""
    return Standard(n - 1) if clustered else NORMAL


@dataclass(frozen=True)
class Estimate:
    """A mean change with its interval, standard error and two-sided p of no change. NaN where it is undefined."""

    delta: float
    low: float
    high: float
    error: float
    p: float


def adjusted_wald(contributions: Floats, level: float, *, clustered: bool = False) -> Estimate:
    """Estimate for a mean of differences of hits, [n]: the normal interval with two pseudo-observations, half
    an item gained and half an item lost.

    For a single language it is Agresti and Min's (2005) adjusted Wald interval of a paired difference of proportions,
    (b + 1/2, c + 1/2, n + 2). For means over languages the pseudo-observations are as large as the observed ones:
    ±sqrt(sum d^4 / sum d^2). `delta` is the unadjusted mean. clustered: whether these are contributions of
    clusters; of a change, `clustered_mean` covers better. NaN for fewer than two items.
    """
    n = len(contributions)
    if n < 2 or np.isnan(contributions).any():
        return untested(contributions)
    squares = float((contributions**2).sum())
    pseudo_square = float((contributions**4).sum()) / squares if squares > UNVARIED else 1.0
    centre = float(contributions.sum()) / (n + 2)
    error = math.sqrt(((squares + pseudo_square) / (n + 2) - centre**2) / (n + 2))
    standard = distribution(n, clustered=clustered)
    half = standard.ppf((1 + level) / 2) * error
    p = 2 * standard.sf(abs(centre) / error)
    return Estimate(float(contributions.mean()), centre - half, centre + half, error, p)


def clustered_mean(contributions: Floats, level: float) -> Estimate:
    """Estimate for a mean change, [clusters]: the interval of t with one degree of freedom less.

    A part of a pseudo-observation, as large as the observed deviations (`adjusted_wald`), is added to their squares:
    few clusters rarely show the whole spread. Where nothing varies it is a whole mean cluster that flips. Chosen by
    simulation (experiments/2026-11-27-few-clusters.md). NaN for fewer than two clusters."""
    n, mean = len(contributions), float(contributions.mean()) if len(contributions) else math.nan
    if n < 2 or math.isnan(mean):
        return untested(contributions)
    residuals = contributions - mean
    squares = float((residuals**2).sum())
    pseudo_square = CLUSTER_PSEUDO * float((residuals**4).sum()) / squares if squares > UNVARIED else 1.0
    error = math.sqrt(squares * n / (n - 1) + pseudo_square) / n
    standard = distribution(n, clustered=True)
    half = standard.ppf((1 + level) / 2) * error
    return Estimate(mean, mean - half, mean + half, error, 2 * standard.sf(abs(mean) / error))


def skewness_adjusted(contributions: Floats, level: float, *, clustered: bool = False) -> Estimate:
    """Estimate for contributions whose spread is that of a sample, as `auroc_influence` has it: Hall's (1992) interval,
    which follows their skewness, with pseudo-observations as in `adjusted_wald`.

    An AUROC near 1 depends on a few badly ranked items. NaN when nothing varies, as when both models rank all items
    alike: there is then no standard error.
    """
    if len(contributions) < 2 or np.isnan(contributions).any():
        return untested(contributions)
    mean = skewed_mean(contributions, PSEUDO_OBSERVATIONS, clustered=clustered)
    if mean is None:
        return untested(contributions)
    return Estimate(mean.estimate, *mean.interval(level), mean.error, mean.p(0.0))


def two_way(matrix: Floats, level: float, *, floor: float = 0.0) -> Estimate:
    """Estimate for the mean of [items, k], when the items are a sample and the k columns (languages, seeds) are too.

    Variance of a crossed design: between items plus between columns (Cameron, Gelbach and Miller 2011). The residual
    that is in both is not subtracted: with three columns the coverage was then too low. t with Satterthwaite's degrees
    of freedom. floor: the least standard error. NaN for fewer than two columns or items.
    """
    n, k = matrix.shape
    if n < 2 or k < 2 or np.isnan(matrix).any():
        return untested(matrix)
    rows, columns, mean = matrix.mean(axis=1), matrix.mean(axis=0), float(matrix.mean())
    of_items = float(rows.var(ddof=1)) / n
    of_columns = float(columns.var(ddof=1)) / k
    variance = max(of_items + of_columns, floor**2)
    if math.sqrt(of_items + of_columns) < UNVARIED:
        return untested(matrix)
    freedom = (of_items + of_columns) ** 2 / (of_items**2 / (n - 1) + of_columns**2 / (k - 1))
    error, standard = math.sqrt(variance), Standard(freedom)
    half = standard.ppf((1 + level) / 2) * error
    return Estimate(mean, mean - half, mean + half, error, 2 * standard.sf(abs(mean) / error))


def proportion_interval(contributions: Floats, level: float) -> tuple[float, float]:
    """(low, high) of a mean of shares in [0, 1], from contributions [n] as `cluster_contributions` has them: Wilson's
    interval with as many items as would give their variance, so that clusters count as what they hold. Where nothing
    varies that is n. NaN for none."""
    n = len(contributions)
    if not n:
        return math.nan, math.nan
    share = float(np.clip(contributions.mean(), 0, 1))
    variance = float(contributions.var(ddof=1)) if n > 1 else 0.0
    independent = n * share * (1 - share) / variance if variance > UNVARIED and 0 < share < 1 else n
    z = NORMAL.ppf((1 + level) / 2)
    shrink = 1 + z**2 / independent
    centre = (share + z**2 / (2 * independent)) / shrink
    half = z / shrink * math.sqrt(share * (1 - share) / independent + z**2 / (4 * independent**2))
    return max(centre - half, 0.0), min(centre + half, 1.0)


def within(estimate: Estimate, largest: float) -> Estimate:
    """The estimate with an interval that ends at ±`largest`, the largest change that can be (or at the estimate)."""
    bound = max(largest, abs(estimate.delta))
    low, high = (float(np.clip(end, -bound, bound)) for end in (estimate.low, estimate.high))
    return replace(estimate, low=low, high=high)


def untested(values: Floats) -> Estimate:
    """The mean alone, with NaN for interval, error and p."""
    return Estimate(float(values.mean()) if values.size else math.nan, math.nan, math.nan, math.nan, math.nan)


@dataclass(frozen=True)
class SkewedMean:
    """A mean of contributions, its standard error, their skewness over the square root of n, and what the transformed t
    statistic is distributed as (`distribution`)."""

    estimate: float
    error: float
    skewness: float
    standard: Standard

    def interval(self, level: float) -> tuple[float, float]:
        """(low, high), Hall's (1992). Near 1, an area's error is far from normal: the normal interval of an area of
        0.99 of 100 items covered the true value in 80 % of cases, this one in 95 %
        (experiments/2026-11-24-auroc-near-one.md)."""
        bound = self.standard.ppf((1 + level) / 2)
        low, high = (self.estimate - self.error * self._skewness_adjusted(end) for end in (bound, -bound))
        return low, high

    def p(self, value: float) -> float:
        """Two-sided p of "the true mean is `value`": below 1 - level exactly where the interval excludes it."""
        return 2 * self.standard.sf(abs(self.statistic(value)))

    def statistic(self, value: float) -> float:
        """Hall's transformed t statistic, distributed as `standard` if `value` is the true mean."""
        t, skewness = (self.estimate - value) / self.error, self.skewness
        return t + skewness / 3 * t**2 + skewness**2 / 27 * t**3 + skewness / 6

    def _skewness_adjusted(self, quantile: float) -> float:
        """The t whose transformed statistic is this quantile."""
        if abs(self.skewness) < 1e-9:
            return quantile
        return 3 / self.skewness * (float(np.cbrt(1 + self.skewness * (quantile - self.skewness / 6))) - 1)


def skewed_mean(
    contributions: Floats, pseudo_observations: float = 0.0, *, clustered: bool = False
) -> SkewedMean | None:
    """The mean of contributions [n] whose spread is that of a sample; None where they do not vary.

    pseudo_observations: how many are added, as large as the observed ones: ±sqrt(sum d^4 / sum d^2).
    """
    n, mean = len(contributions), float(contributions.mean())
    residuals = contributions - mean
    squares = float((residuals**2).sum())
    if math.sqrt(squares) / n < UNVARIED:
        return None
    error = math.sqrt(squares + pseudo_observations * float((residuals**4).sum()) / squares) / n
    skewness = float((residuals**3).sum()) / squares**1.5
    return SkewedMean(mean, error, skewness, distribution(n, clustered=clustered))
