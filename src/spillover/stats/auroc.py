"""The area under the ROC curve with each item's influence on it (DeLong, DeLong & Clarke-Pearson 1988).

The area is a mean over pairs of items, so its error is a sum over items. Differences of two models and means over
languages are then sums of the items' influences, paired by item.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from spillover.core.types import Floats


def auroc_influence(values: Floats, gold: NDArray[np.int64]) -> tuple[float, Floats]:
    """(area, influence [n]) of the mean one-vs-rest area of `values` [n, labels]; higher is more of the label.

    The area's variance is `sum(influence ** 2) / n ** 2`, equal to DeLong's. (NaN, NaNs) when a label has no
    item, or all of them.
    """
    n, labels = values.shape
    counts = np.bincount(gold, minlength=labels)
    if n == 0 or labels < 2 or (counts == 0).any():
        return math.nan, np.full(n, np.nan)
    areas, influence = [], np.zeros(n)
    for i in range(labels):
        of_label = gold == i
        shares = placements(values[:, i], of_label)
        areas.append(float(shares[of_label].mean()))
        influence += shares / np.where(of_label, counts[i], n - counts[i]) / labels
    return sum(areas) / labels, n * _centred(influence, gold, counts)


def placements(column: Floats, of_label: NDArray[np.bool_]) -> Floats:
    """[n]: DeLong's placement values: for an item of the label, the share of other items below it; for another, the
    share of the label's items above it. Ties count half."""
    if np.isnan(column).any():
        return np.full(len(column), np.nan)
    shares = np.empty(len(column))
    own, others = column[of_label], column[~of_label]
    shares[of_label] = _below(own, others) / len(others)
    shares[~of_label] = 1 - _below(others, own) / len(own)
    return shares


def _below(values: Floats, others: Floats) -> Floats:
    """[n]: how many of `others` each value exceeds, ties as a half."""
    ordered = np.sort(others)
    counts = np.searchsorted(ordered, values, side="left") + np.searchsorted(ordered, values, side="right")
    return np.asarray(counts / 2)


def _centred(influence: Floats, gold: NDArray[np.int64], counts: NDArray[np.int64]) -> Floats:
    """Minus the mean of the item's gold label, scaled from a population's variance to a sample's."""
    means = np.bincount(gold, weights=influence, minlength=len(counts)) / counts
    with np.errstate(divide="ignore", invalid="ignore"):
        scale = np.sqrt(counts / (counts - 1.0))
    return np.asarray((influence - means[gold]) * np.where(np.isfinite(scale), scale, np.nan)[gold])
