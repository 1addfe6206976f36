"""Items that belong together, as questions about one passage: intervals and tests then resample clusters.

Items of a cluster are right or wrong together, so n items of them hold less than n independent ones. Everything here
turns values of items into values of clusters, so that what is computed from those is right for clusters.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from spillover.core.types import Floats, Indices

FEW_CLUSTERS = 10
"""With fewer, intervals and tests are not to be trusted: coverage was simulated from 10 on
(experiments/2026-11-27-few-clusters.md)."""


def cluster_numbers(clusters: Sequence[str]) -> Indices:
    """[n]: the number of each item's cluster, from 0 in the order of their first items."""
    numbers = {name: i for i, name in enumerate(dict.fromkeys(clusters))}
    return np.array([numbers[name] for name in clusters], dtype=np.int64)


def cluster_sums(values: Floats, numbers: Indices) -> Floats:
    """[n, ...] → [clusters, ...]: the sum over the items of each cluster."""
    sums = np.zeros((int(numbers.max(initial=-1)) + 1, *values.shape[1:]))
    np.add.at(sums, numbers, values)
    return sums


def cluster_contributions(values: Floats, numbers: Indices) -> Floats:
    """[n, ...] → [clusters, ...]: values of clusters whose mean is the mean over the items, and whose variance over
    their number is the cluster-robust variance of that mean (Liang & Zeger 1986): each cluster's summed deviations from
    the mean, scaled to the size of a mean cluster. A large cluster pulls the mean towards itself, so that its deviation
    is too small: it is divided by the root of what it leaves to the others (CR2 of Bell & McCaffrey 2002), relative to
    clusters of one size, which have the means of their items."""
    sizes = np.bincount(numbers)
    n, clusters = len(values), len(sizes)
    if clusters < 2:
        return np.asarray(values[:clusters] * 0 + values.mean(axis=0)) if n else values
    mean = values.mean(axis=0)
    scale = clusters / n * np.sqrt((1 - 1 / clusters) / (1 - sizes / n))
    deviations = (cluster_sums(values - mean, numbers).T * scale).T
    return np.asarray(mean + deviations - deviations.mean(axis=0))
