"""The null of length: what each measure of alignment would be if a model knew nothing of an item but how long it is.

An item is as long in one language as in another, nearly, so its length alone finds its translation now and then. Here
length is the number of tokens, as a logarithm, standardised within the language.

- Retrieval: an item finds the one whose length is nearest.
- Cosine margin, CKA, SVCCA: the states as length predicts them, by a parabola, on the scale of the states themselves.
- Procrustes: the target's coordinates by a line or a parabola in the source's length, on held-out items.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from spillover.stats.geometry import Cloud, Floats, Indices, mean_singular, ratio_parts
from spillover.stats.similarity import TIE, margins


def standardised(lengths: NDArray[np.integer] | Floats) -> Floats:
    """[n] tokens → [n] standardised logarithms; 0 when all are the same."""
    logarithms = np.log(np.maximum(np.asarray(lengths, dtype=np.float64), 1))
    spread = logarithms.std()
    return np.asarray((logarithms - logarithms.mean()) / spread if spread > 1e-9 else np.zeros(len(logarithms)))


def length_basis(lengths: NDArray[np.integer] | Floats) -> Floats:
    """[n, up to 3]: an orthonormal basis of the parabolas in length, the constant among them."""
    z = standardised(lengths)
    left, strength, _ = np.linalg.svd(np.stack([np.ones(len(z)), z, z**2], axis=1), full_matrices=False)
    return np.asarray(left[:, strength > 1e-9 * strength[0]])


def length_retrieval(source: NDArray[np.integer], target: NDArray[np.integer]) -> tuple[Floats, Floats, Floats]:
    """[n] each, the chance of a hit for MEXA, for retrieval from the source and back, by the nearest length. Items of
    one length share the hit."""
    apart = np.abs(standardised(source)[:, None] - standardised(target)[None, :])
    own = np.diag(apart)
    rows = (apart <= own[:, None] + TIE).sum(axis=1), (apart < own[:, None] - TIE).any(axis=1)
    columns = (apart <= own[None, :] + TIE).sum(axis=0), (apart < own[None, :] - TIE).any(axis=0)
    there = np.where(rows[1], 0.0, 1 / rows[0])
    back = np.where(columns[1], 0.0, 1 / columns[0])
    both = np.where(rows[1] | columns[1], 0.0, 1 / (rows[0] + columns[0] - 1))
    return both, there, back


def length_margins(similarity: Floats, source: Floats, target: Floats) -> Floats:
    """[n]: cosine margins of the states that length predicts. similarity: [n, n] cosines. source, target: bases."""
    return margins(source @ (source.T @ similarity @ target) @ target.T)


def length_cka(source: Cloud, target: Cloud, left: Floats, right: Floats) -> Floats:
    """[n]: parts of the CKA that comes from what length predicts in both clouds. left, right: length bases."""
    scale = np.sqrt((source.kernel**2).sum() * (target.kernel**2).sum())
    if not scale > 0:
        return np.full(len(left), np.nan)
    predicted = [b @ (b.T @ side.kernel @ b) @ b.T for side, b in ((source, left), (target, right))]
    by_item = (predicted[0] * predicted[1]).sum(axis=1) / scale
    return np.asarray(2 * len(left) * by_item - by_item.sum())


def length_svcca(source: Cloud, target: Cloud, left: Floats, right: Floats) -> Floats:
    """[n], all alike: the mean canonical correlation of what length predicts of the two bases."""
    if not source.basis.shape[1] or not target.basis.shape[1]:
        return np.full(len(left), np.nan)
    cross = source.basis.T @ left @ (left.T @ right) @ right.T @ target.basis
    return np.full(len(left), mean_singular(cross[None])[0])


def length_procrustes(target: Cloud, source: NDArray[np.integer], halves: tuple[Indices, Indices]) -> Floats:
    """[n]: parts of the share of the target's variance that the source's length leaves, on held-out items: of a line
    and a parabola the one that leaves less. Where both do worse than the mean, length says nothing: 1."""
    z = standardised(source)
    kinds = [_left_by(np.stack([z**power for power in range(degree + 1)], axis=1), target, halves) for degree in (1, 2)]
    best = min(kinds, key=lambda parts: float(parts.mean()))
    return np.ones(len(z)) if best.mean() >= 1 - TIE else best


def _left_by(features: Floats, target: Cloud, halves: tuple[Indices, Indices]) -> Floats:
    errors, sizes = np.zeros(len(features)), np.zeros(len(features))
    for coordinates, fit, test in zip(target.halves, halves, halves[::-1], strict=True):
        if coordinates.shape[1]:
            slopes = np.linalg.lstsq(features[fit], coordinates[fit], rcond=None)[0]
            errors[test] = ((coordinates[test] - features[test] @ slopes) ** 2).sum(axis=1)
            sizes[test] = (coordinates[test] ** 2).sum(axis=1)
    return ratio_parts(errors, sizes)
