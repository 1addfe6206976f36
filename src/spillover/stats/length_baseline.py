"""The length baseline: each measure of alignment for a model that encodes nothing of an item but its length.

Parallel items have similar lengths, so length alone retrieves a translation now and then. Length is the number of
tokens, as a logarithm, standardised within the language.

- Retrieval: the nearest neighbour by length.
- Cosine margin, CKA, SVCCA: the states predicted from length by a quadratic, on the scale of the states themselves.
- Procrustes: the target's coordinates predicted from the source's length by a line or a quadratic, on held-out items.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spillover.core.types import Floats
from spillover.stats.geometry import Halves, LayerRepresentation, mean_singular, ratio_contributions
from spillover.stats.similarity import TIE, margins


@dataclass(frozen=True)
class LengthRetrieval:
    """Expected hits by length alone, [n] each in [0, 1]: for MEXA, and for retrieval from source to target and back."""

    mexa: Floats
    forward: Floats
    backward: Floats


def standardised(lengths: NDArray[np.integer] | Floats) -> Floats:
    """[n] tokens → [n] standardised logarithms; all 0 when they are equal."""
    logarithms = np.log(np.maximum(np.asarray(lengths, dtype=np.float64), 1))
    spread = logarithms.std()
    return np.asarray((logarithms - logarithms.mean()) / spread if spread > 1e-9 else np.zeros(len(logarithms)))


def length_basis(lengths: NDArray[np.integer] | Floats) -> Floats:
    """[n, up to 3]: an orthonormal basis of the quadratics in length, the constant included."""
    z = standardised(lengths)
    left, strength, _ = np.linalg.svd(np.stack([np.ones(len(z)), z, z**2], axis=1), full_matrices=False)
    return np.asarray(left[:, strength > 1e-9 * strength[0]])


def length_retrieval(source: NDArray[np.integer], target: NDArray[np.integer]) -> LengthRetrieval:
    """Expected hits per item, [n] each, by the nearest length. Items of equal length share the hit."""
    distances = np.abs(standardised(source)[:, None] - standardised(target)[None, :])
    true = np.diag(distances)
    row_ties, row_lost = _ties_and_lost(distances, true)
    column_ties, column_lost = _ties_and_lost(distances.T, true)
    return LengthRetrieval(
        mexa=np.where(row_lost | column_lost, 0.0, 1 / (row_ties + column_ties - 1)),
        forward=np.where(row_lost, 0.0, 1 / row_ties),
        backward=np.where(column_lost, 0.0, 1 / column_ties),
    )


def _ties_and_lost(distances: Floats, true: Floats) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """By row, [n] each: how many items are as near as the true one (itself included), and whether one is nearer."""
    ties = (distances <= true[:, None] + TIE).sum(axis=1)
    return ties, np.asarray((distances < true[:, None] - TIE).any(axis=1))


def length_margins(similarity: Floats, source: Floats, target: Floats) -> Floats:
    """[n]: cosine margins of states predicted from length. similarity: [n, n] cosines. source, target: length bases."""
    return margins(source @ (source.T @ similarity @ target) @ target.T)


def length_cka(source: LayerRepresentation, target: LayerRepresentation, left: Floats, right: Floats) -> Floats:
    """[n]: contributions to the CKA of what length predicts in both languages. left, right: length bases."""
    scale = np.sqrt((source.kernel**2).sum() * (target.kernel**2).sum())
    if not scale > 0:
        return np.full(len(left), np.nan)
    predicted = [b @ (b.T @ side.kernel @ b) @ b.T for side, b in ((source, left), (target, right))]
    by_item = (predicted[0] * predicted[1]).sum(axis=1) / scale
    return np.asarray(2 * len(left) * by_item - by_item.sum())


def length_svcca(source: LayerRepresentation, target: LayerRepresentation, left: Floats, right: Floats) -> Floats:
    """[n], all equal: the mean canonical correlation of what length predicts of the two bases."""
    if not source.basis.shape[1] or not target.basis.shape[1]:
        return np.full(len(left), np.nan)
    cross = source.basis.T @ left @ (left.T @ right) @ right.T @ target.basis
    return np.full(len(left), mean_singular(cross[None])[0])


def length_procrustes(target: LayerRepresentation, source: NDArray[np.integer], halves: Halves) -> Floats:
    """[n]: contributions to the Procrustes residual when the target is predicted from the source's length, on held-out
    items: by a line or a quadratic, whichever leaves less. 1 where neither beats the mean."""
    z = standardised(source)
    fits = [_residual(np.stack([z**power for power in range(degree + 1)], axis=1), target, halves) for degree in (1, 2)]
    best = min(fits, key=lambda contributions: float(contributions.mean()))
    return np.ones(len(z)) if best.mean() >= 1 - TIE else best


def _residual(features: Floats, target: LayerRepresentation, halves: Halves) -> Floats:
    errors, sizes = np.zeros(len(features)), np.zeros(len(features))
    for coordinates, fit, test in zip(target.halves, halves, halves[::-1], strict=True):
        if coordinates.shape[1]:
            slopes = np.linalg.lstsq(features[fit], coordinates[fit], rcond=None)[0]
            errors[test] = ((coordinates[test] - features[test] @ slopes) ** 2).sum(axis=1)
            sizes[test] = (coordinates[test] ** 2).sum(axis=1)
    return ratio_contributions(errors, sizes)
