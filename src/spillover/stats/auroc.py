"""The area under the ROC curve with each item's share in its error (DeLong, DeLong & Clarke-Pearson 1988).

The area is a mean over pairs of items, so its error is a sum over items. `influence` says how much each item moves it;
differences of two models and means over languages are then sums of these columns, paired by item.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spillover.core.types import Floats

UNVARIED = 1e-12


def auroc_influence(values: Floats, gold: NDArray[np.int64]) -> tuple[float, Floats]:
    """(area, influence [n]) of the mean one-vs-rest area of `values` [n, labels]; higher is more of the label.

    The area's variance is `sum(influence ** 2) / n ** 2`, equal to DeLong's. (NaN, NaNs) when a label has no
    item, or all of them.
    """
    n, labels = values.shape
    counts = np.bincount(gold, minlength=labels)
    if n == 0 or labels < 2 or (counts == 0).any():
        return math.nan, np.full(n, np.nan)
    areas, parts = [], np.zeros(n)
    for i in range(labels):
        of_label = gold == i
        places = placements(values[:, i], of_label)
        areas.append(float(places[of_label].mean()))
        parts += places / np.where(of_label, counts[i], n - counts[i]) / labels
    return math.fsum(areas) / labels, n * _centred(parts, gold, counts)


@dataclass(frozen=True)
class Skewed:
    """An estimate that is a mean of parts, its standard error, and its parts' skewness over the square root of n."""

    estimate: float
    error: float
    skewness: float

    def interval(self, level: float) -> tuple[float, float]:
        """Hall's (1992) interval. Near 1, an area's error is far from normal: the plain interval of an area of 0.99 of
        100 items held the truth in 80 % of cases, this one in 95 % (EXPERIMENTS.md)."""
        from scipy.stats import norm

        bound = float(norm.ppf((1 + level) / 2))
        return self.estimate - self.error * self._untilted(bound), self.estimate - self.error * self._untilted(-bound)

    def p(self, value: float) -> float:
        """Two-sided p of "the true one is `value`": below 1 - level just where the interval leaves it out."""
        from scipy.stats import norm

        return float(2 * norm.sf(abs(self.statistic(value))))

    def statistic(self, value: float) -> float:
        """Hall's transformed t statistic against a true value, standard normal where that is the true one."""
        t, skewness = (self.estimate - value) / self.error, self.skewness
        return t + skewness / 3 * t**2 + skewness**2 / 27 * t**3 + skewness / 6

    def _untilted(self, bound: float) -> float:
        tilt = self.skewness
        return bound if abs(tilt) < 1e-9 else 3 / tilt * (float(np.cbrt(1 + tilt * (bound - tilt / 6))) - 1)


def skewed_mean(parts: Floats, made_up: float = 0.0) -> Skewed | None:
    """Of parts [n] whose spread is that of a sample, as `auroc_influence` has it; None where they do not vary.

    made_up: so many items more, as large as those that there are: ±sqrt(sum d^4 / sum d^2).
    """
    n, mean = len(parts), float(parts.mean())
    apart = parts - mean
    squares = float((apart**2).sum())
    if math.sqrt(squares) / n < UNVARIED:
        return None
    error = math.sqrt(squares + made_up * float((apart**4).sum()) / squares) / n
    return Skewed(mean, error, float((apart**3).sum()) / squares**1.5)


def placements(column: Floats, of_label: NDArray[np.bool_]) -> Floats:
    """[n]: for an item of the label, the share of other items below it; for another, the share of the label's above it.
    Ties count half."""
    from scipy.stats import rankdata

    everywhere = rankdata(column)
    places = np.empty(len(column))
    positives, negatives = int(of_label.sum()), int((~of_label).sum())
    places[of_label] = (everywhere[of_label] - rankdata(column[of_label])) / negatives
    places[~of_label] = 1 - (everywhere[~of_label] - rankdata(column[~of_label])) / positives
    return places


def _centred(parts: Floats, gold: NDArray[np.int64], counts: NDArray[np.int64]) -> Floats:
    """Less the mean of the item's own label, and scaled from the variance of a population to that of a sample."""
    means = np.bincount(gold, weights=parts, minlength=len(counts)) / counts
    with np.errstate(divide="ignore", invalid="ignore"):
        scale = np.sqrt(counts / (counts - 1.0))
    return np.asarray((parts - means[gold]) * np.where(np.isfinite(scale), scale, np.nan)[gold])
