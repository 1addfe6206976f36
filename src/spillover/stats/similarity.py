"""Cross-lingual retrieval between two languages' hidden states: one layer, the same items in both languages.

Every measure gives a value for each item, whose mean is the measure; intervals, nulls and tests work on these values.
Retrieval asks whether an item's nearest neighbour among all items of the other language is its translation (MEXA,
Kargaran et al. 2024; CSLS, Conneau et al. 2018). `geometry` asks whether the two sets of states have the same shape.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from spillover.core.types import Floats

# Cosines closer than this are tied: between identical rows, rounding alone would decide.
TIE = 1e-9
NEIGHBOURS = 10


def cosines(source: NDArray[np.floating], target: NDArray[np.floating]) -> Floats:
    """[..., n, hidden] twice → [..., n, n] in [-1, 1]: item i of the source against item j of the target. A zero
    vector has cosine 0 with everything."""
    return np.asarray(unit(source) @ np.swapaxes(unit(target), -1, -2))


def unit(states: NDArray[np.floating]) -> Floats:
    """[..., n, hidden] → unit vectors, float64; a zero vector stays zero."""
    wide = np.asarray(states, dtype=np.float64)
    length = np.linalg.norm(wide, axis=-1, keepdims=True)
    return np.asarray(np.divide(wide, length, out=np.zeros_like(wide), where=length > 0))


def mexa(source: NDArray[np.floating], target: NDArray[np.floating]) -> float:
    """Share of items whose cosine with their own translation is larger than every other in its row and its column, in
    [0, 1] (Kargaran et al. 2024). source, target: [n, hidden] of one layer, row i is the same item in both.

    A model's headline value is the maximum over layers. NaN without items; 1 with a single item."""
    hits = mexa_hits(cosines(source, target))
    return float(hits.mean()) if hits.size else math.nan


def mexa_hits(similarity: Floats) -> NDArray[np.bool_]:
    """[..., n, n] → [..., n]: the diagonal is the strict maximum of its row and of its column."""
    return retrieval_hits(similarity) & retrieval_hits(np.swapaxes(similarity, -1, -2))


def retrieval_hits(similarity: Floats) -> NDArray[np.bool_]:
    """[..., n, n] → [..., n]: the diagonal is the strict maximum of its row. Their mean is precision at 1."""
    n = similarity.shape[-1]
    others = np.where(np.eye(n, dtype=bool), -np.inf, similarity)
    return np.asarray(np.diagonal(similarity, axis1=-2, axis2=-1) > others.max(axis=-1, initial=-np.inf) + TIE)


def csls(similarity: Floats, neighbours: int = NEIGHBOURS) -> Floats:
    """[..., n, n] → 2 cos(i, j) minus the mean cosine of i, and of j, to its nearest `neighbours` on the other side
    (Conneau et al. 2018), which corrects for hubs: items that are near to everything. In [-4, 4]."""
    n = similarity.shape[-1]
    near = min(neighbours, n)
    rows = np.partition(similarity, n - near, axis=-1)[..., n - near :].mean(axis=-1)
    columns = np.partition(similarity, n - near, axis=-2)[..., n - near :, :].mean(axis=-2)
    return np.asarray(2 * similarity - rows[..., :, None] - columns[..., None, :])


def margins(similarity: Floats) -> Floats:
    """[..., n, n] → [..., n], in [-2, 2]: cosine of each item with its translation minus its mean cosine with the
    others, in both directions. Their mean is that of translation pairs minus that of all others. NaN with one item."""
    n = similarity.shape[-1]
    if n < 2:
        return np.full(similarity.shape[:-1], np.nan)
    diagonal = np.diagonal(similarity, axis1=-2, axis2=-1)
    rows, columns = similarity.sum(axis=-1) - diagonal, similarity.sum(axis=-2) - diagonal
    return np.asarray(diagonal - (rows + columns) / (2 * (n - 1)))
