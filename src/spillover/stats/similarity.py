"""How closely two languages lie together inside a model: one layer, one pair of languages, the same items in both.

Every measure gives a value for each item, whose mean is the measure; intervals, nulls and tests all work on those.
Retrieval asks whether an item finds its own translation among all items of the other language (MEXA, Kargaran et al.
2024; CSLS, Conneau et al. 2018). Geometry asks whether the two clouds have the same shape (debiased linear CKA, Song
et al. 2012, Kornblith et al. 2019; SVCCA, Raghu et al. 2017; orthogonal Procrustes on held-out items).

With fewer items than dimensions, SVCCA and Procrustes would be perfect on noise. Both keep a few principal components,
and Procrustes is fitted on one half of the items and judged on the other.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
# Cosines nearer than this are equal: between rows that are the same, rounding alone would choose a winner.
TIE = 1e-9
NEIGHBOURS = 10


def cosines(source: NDArray[np.floating], target: NDArray[np.floating]) -> Floats:
    """[..., n, hidden] twice → [..., n, n] in [-1, 1]: item i of the source against item j of the target. A state of
    length zero has no direction: it counts as at right angles to everything."""
    return np.asarray(unit(source) @ np.swapaxes(unit(target), -1, -2))


def unit(states: NDArray[np.floating]) -> Floats:
    """[..., n, hidden] → the same at length 1, float64; a state of length zero stays."""
    wide = np.asarray(states, dtype=np.float64)
    length = np.linalg.norm(wide, axis=-1, keepdims=True)
    return np.asarray(np.divide(wide, length, out=np.zeros_like(wide), where=length > 0))


def mexa(source: NDArray[np.floating], target: NDArray[np.floating]) -> float:
    """Share of items whose cosine with their own translation is larger than every other in its row and its column, in
    [0, 1] (Kargaran et al. 2024). source, target: [n, hidden] of one layer, row i is the same item in both.

    The headline of a model is the maximum over layers. NaN without items; with one item there is nothing to mistake
    it for, and the share is 1."""
    hits = mexa_hits(cosines(source, target))
    return float(hits.mean()) if hits.size else float("nan")


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
    (Conneau et al. 2018): an item that is near to everything no longer wins everywhere. In [-4, 4]."""
    n = similarity.shape[-1]
    near = min(neighbours, n)
    rows = np.partition(similarity, n - near, axis=-1)[..., n - near :].mean(axis=-1)
    columns = np.partition(similarity, n - near, axis=-2)[..., n - near :, :].mean(axis=-2)
    return np.asarray(2 * similarity - rows[..., :, None] - columns[..., None, :])


def margins(similarity: Floats) -> Floats:
    """[..., n, n] → [..., n], in [-2, 2]: cosine of each item with its translation minus its mean cosine with the
    others, both ways. Their mean is exactly the mean of true pairs minus that of shuffled ones. NaN with one item."""
    n = similarity.shape[-1]
    if n < 2:
        return np.full(similarity.shape[:-1], np.nan)
    own = np.diagonal(similarity, axis1=-2, axis2=-1)
    rows, columns = similarity.sum(axis=-1) - own, similarity.sum(axis=-2) - own
    return np.asarray(own - (rows + columns) / (2 * (n - 1)))
