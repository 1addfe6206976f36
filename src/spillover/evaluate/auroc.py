"""The area under the ROC curve with each item's share in its error (DeLong, DeLong & Clarke-Pearson 1988).

The area is a mean over pairs of items, so its error is a sum over items. `influence` says how much each item moves it;
differences of two models and means over languages are then sums of these columns, paired by item.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def auroc_influence(values: Floats, gold: NDArray[np.int64]) -> tuple[float, Floats]:
    """(area, influence [n]) of the mean one-vs-rest area of `values` [n, labels]; higher is more of the label.

    The area's variance is `sum(influence ** 2) / n ** 2`, equal to DeLong's. (NaN, NaNs) when a label has no
    item, or all of them.
    """
    n, labels = values.shape
    counts = np.bincount(gold, minlength=labels)
    if n == 0 or labels < 2 or (counts == 0).any():
        return math.nan, np.full(n, np.nan)
    area, parts = 0.0, np.zeros(n)
    for i in range(labels):
        of_label = gold == i
        places = placements(values[:, i], of_label)
        area += float(places[of_label].mean()) / labels
        parts += places / np.where(of_label, counts[i], n - counts[i]) / labels
    return area, n * _centred(parts, gold, counts)


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
