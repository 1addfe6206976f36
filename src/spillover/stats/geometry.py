"""Similarity of two languages' representations up to rotation: debiased linear CKA, SVCCA, Procrustes.

With more dimensions than items, any two sets of states can be rotated onto each other. So CKA is the debiased one (Song
et al. 2012; Kornblith et al. 2019), which is 0 on average for unrelated states; SVCCA (Raghu et al. 2017) keeps one
principal component per ten items; the Procrustes rotation is fitted on half of the items and evaluated on the rest.
SVCCA stays above 0 for unrelated states: read it beside its null alone.

Each gives a contribution per item, whose mean is the measure: for CKA and SVCCA the jackknife's pseudo-values, with the
components of SVCCA kept fixed; for Procrustes the item's own error, with the rotation kept fixed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spillover.core.types import Floats, Indices

Halves = tuple[Indices, Indices]

MOST_COMPONENTS = 10
ITEMS_PER_COMPONENT = 10
FEWEST_ITEMS = 6
FLAT = 1e-12
SHUFFLED_CELLS = 1 << 21


@dataclass(frozen=True)
class LayerRepresentation:
    """One language at one layer.

    kernel: [n, n] Gram matrix, U-centred (Székely and Rizzo 2014). basis: [n, k] orthonormal, its leading principal
    components over items. halves: for each half of the items as the one to fit on, [n, k] coordinates of all items on
    that half's principal components. Empty (k = 0) when the states do not vary."""

    kernel: Floats
    basis: Floats
    halves: tuple[Floats, Floats]


def layer_representation(states: NDArray[np.floating], halves: Halves) -> LayerRepresentation:
    """Kernel and principal components of the states, [n, hidden], n ≥ 6. halves: the items of each half."""
    wide = np.asarray(states, dtype=np.float64)
    centred = wide - wide.mean(axis=0)
    if (centred**2).sum() <= FLAT * (wide**2).sum():
        centred = np.zeros_like(centred)
    gram = centred @ centred.T
    k = n_components(len(wide))
    return LayerRepresentation(
        u_centred(gram),
        _leading(gram, k)[0],
        (_half_coordinates(gram, halves[0], k), _half_coordinates(gram, halves[1], k)),
    )


def n_components(items: int) -> int:
    """How many principal components are kept for so many items: one per ten, at most ten."""
    return max(1, min(MOST_COMPONENTS, items // ITEMS_PER_COMPONENT))


def u_centred(gram: Floats) -> Floats:
    """[n, n] → the U-centred matrix: without its diagonal, row and column effects subtracted. The inner product of two
    is an unbiased estimate of their covariance (Székely and Rizzo 2014; the estimator of Song et al. 2012)."""
    n = len(gram)
    off = gram - np.diag(np.diag(gram))
    rows = off.sum(axis=1) / (n - 2)
    centred = off - rows[:, None] - rows[None, :] + rows.sum() / (n - 1)
    np.fill_diagonal(centred, 0.0)
    return np.asarray(centred)


def _leading(gram: Floats, k: int) -> tuple[Floats, Floats]:
    """The leading eigenvectors [n, k] and values [k] of a Gram matrix; fewer than `k` when its rank is smaller."""
    values, vectors = np.linalg.eigh(gram)
    values, vectors = values[::-1][:k], vectors[:, ::-1][:, :k]
    positive = values > max(values[0], 0.0) * 1e-9
    return vectors[:, positive], values[positive]


def _half_coordinates(gram: Floats, fit: Indices, k: int) -> Floats:
    """[n, k]: coordinates of all items on the principal components of the items `fit`. gram: [n, n] of all."""
    mean_fit = gram[:, fit].mean(axis=1)
    centred = gram[:, fit] - mean_fit[:, None] - gram[np.ix_(fit, fit)].mean(axis=0)[None, :] + mean_fit[fit].mean()
    if np.trace(centred[fit]) <= FLAT * max(np.trace(gram), 1.0):
        return np.zeros((len(gram), 0))
    vectors, values = _leading(centred[fit], k)
    return np.asarray(centred @ vectors / np.sqrt(values))


def _jackknife(value: float, without: Floats) -> Floats:
    """[n] measures without each item → [n] contributions: their mean is the measure, their spread the jackknife's."""
    return np.asarray(value + (len(without) - 1) * (without.mean() - without))


def _products(source: Floats, target: Floats) -> tuple[float, Floats]:
    """The unbiased covariance of two U-centred kernels [n, n], and [n] the same without each item."""
    n = len(source)
    by_item = (source * target).sum(axis=1)
    total, m = by_item.sum(), n - 1
    without = (total - 2 * by_item * (m - 1) / (m - 2)) / (m * (m - 3))
    return float(total / (n * (n - 3))), without


def cka_contributions(source: LayerRepresentation, target: LayerRepresentation) -> Floats:
    """[n]: contributions to debiased linear CKA: at most 1; 0 on average for unrelated states."""
    shared, shared_without = _products(source.kernel, target.kernel)
    scales = [_products(side.kernel, side.kernel) for side in (source, target)]
    with np.errstate(divide="ignore", invalid="ignore"):
        value = shared / np.sqrt(scales[0][0] * scales[1][0])
        without = shared_without / np.sqrt(np.maximum(scales[0][1], 0) * np.maximum(scales[1][1], 0))
    return _jackknife(value, without)


def cka_shuffled(sources: Sequence[LayerRepresentation], target: LayerRepresentation, shuffles: Indices) -> Floats:
    """[sources, draws]: debiased CKA of each source with the target's items permuted by each of `shuffles`, [draws, n].
    The permuted target is computed once for all sources."""
    kernels = np.stack([source.kernel.ravel() for source in sources], axis=1)
    n = len(target.kernel)
    products = np.empty((len(shuffles), len(sources)))
    step = max(1, SHUFFLED_CELLS // (n * n))
    for start in range(0, len(shuffles), step):
        orders = shuffles[start : start + step]
        cells = (orders[:, :, None] * n + orders[:, None, :]).reshape(len(orders), -1)
        products[start : start + step] = np.take(target.kernel.ravel(), cells) @ kernels
    scale = np.sqrt((kernels**2).sum(axis=0) * (target.kernel**2).sum())
    undefined = np.full(products.T.shape, np.nan)
    return np.asarray(np.divide(products.T, scale[:, None], out=undefined, where=scale[:, None] > 0))


def svcca_contributions(source: LayerRepresentation, target: LayerRepresentation) -> Floats:
    """[n]: contributions to SVCCA, the mean canonical correlation of the leading principal components, in [0, 1]."""
    left, right = source.basis, target.basis
    n = len(left)
    if not left.shape[1] or not right.shape[1]:
        return np.full(n, np.nan)
    cross = left.T @ right
    # Without item i both bases lose a row and are centred again: each Gram matrix is I - c u u', whose inverse root is
    # known in closed form.
    c = n / (n - 1)
    outer = cross[None] - c * left[:, :, None] * right[:, None, :]
    without = _root_without(left, c) @ outer @ _root_without(right, c)
    return _jackknife(mean_singular(cross[None])[0], mean_singular(without))


def _root_without(basis: Floats, c: float) -> Floats:
    """[n, k, k]: (I - c u u')^(-1/2) for each row u of the basis."""
    size = (basis**2).sum(axis=1)
    left_over = np.maximum(1 - c * size, 1e-9)
    scale = np.divide(left_over**-0.5 - 1, size, out=np.zeros_like(size), where=size > 1e-15)
    return np.asarray(np.eye(basis.shape[1])[None] + scale[:, None, None] * basis[:, :, None] * basis[:, None, :])


def mean_singular(matrices: Floats) -> Floats:
    """[b, k, l] → [b]: the mean of min(k, l) singular values."""
    if matrices.shape[-1] > matrices.shape[-2]:
        matrices = np.swapaxes(matrices, -1, -2)
    # Square roots of eigenvalues take half the time of an SVD, at more than enough precision.
    squares = np.linalg.eigvalsh(np.swapaxes(matrices, -1, -2) @ matrices)
    return np.asarray(np.sqrt(np.clip(squares, 0.0, 1.0)).mean(axis=-1))


def svcca_shuffled(source: LayerRepresentation, target: LayerRepresentation, shuffles: Indices) -> Floats:
    """[draws]: SVCCA with the target's items permuted by each of `shuffles`, [draws, n]."""
    if not source.basis.shape[1] or not target.basis.shape[1]:
        return np.full(len(shuffles), np.nan)
    return mean_singular(source.basis.T @ target.basis[shuffles])


def in_halves(items: int, rng: np.random.Generator | None = None) -> Halves:
    """The positions of the items in two halves: drawn with `rng`, else every second item."""
    order = np.arange(items) if rng is None else rng.permutation(items)
    return np.sort(order[::2]), np.sort(order[1::2])


def shuffled_in_halves(halves: Halves, draws: int, rng: np.random.Generator) -> Indices:
    """[draws, n]: permutations within each half, so that no item is evaluated that was fitted on."""
    orders = np.empty((draws, sum(map(len, halves))), dtype=np.int64)
    for half in halves:
        orders[:, half] = rng.permuted(np.tile(half, (draws, 1)), axis=1)
    return orders


def procrustes_contributions(source: LayerRepresentation, target: LayerRepresentation, halves: Halves) -> Floats:
    """[n]: contributions to the Procrustes residual: the share of the target's variance on its leading components
    that remains after the source is rotated and scaled onto it. 0: the same shape; 1: no better than the mean.

    Rotation and scale are fitted on one half of the items and evaluated on the other, then with the halves exchanged.
    """
    errors, sizes = _procrustes(source, target, halves, np.arange(sum(map(len, halves)))[None])
    return ratio_contributions(errors[0], sizes[0])


def ratio_contributions(errors: Floats, sizes: Floats) -> Floats:
    """[n] linearised contributions to sum(errors) / sum(sizes): their mean is the ratio, their spread its error."""
    if not sizes.sum() > 0:
        return np.full(len(errors), np.nan)
    ratio = errors.sum() / sizes.sum()
    return np.asarray(ratio + (errors - ratio * sizes) / sizes.mean())


def procrustes_shuffled(
    source: LayerRepresentation, target: LayerRepresentation, halves: Halves, orders: Indices
) -> Floats:
    """[draws]: the residual with the target's items permuted by each of `orders`, from `shuffled_in_halves`."""
    errors, sizes = _procrustes(source, target, halves, orders)
    total = sizes.sum(axis=1)
    return np.asarray(np.divide(errors.sum(axis=1), total, out=np.full(len(orders), np.nan), where=total > 0))


def _procrustes(
    source: LayerRepresentation, target: LayerRepresentation, halves: Halves, orders: Indices
) -> tuple[Floats, Floats]:
    """[draws, n] twice: squared error and squared norm of each item while its half is held out."""
    errors, sizes = np.zeros(orders.shape), np.zeros(orders.shape)
    for left, right, fit, test in zip(source.halves, target.halves, halves, halves[::-1], strict=True):
        if not left.shape[1] or not right.shape[1]:
            continue
        u, strength, v = np.linalg.svd(left[fit].T @ right[orders[:, fit]], full_matrices=False)
        scale = strength.sum(axis=1) / (left[fit] ** 2).sum()
        predicted = scale[:, None, None] * (left[test] @ (u @ v))
        expected = right[orders[:, test]]
        errors[:, test] = ((expected - predicted) ** 2).sum(axis=2)
        sizes[:, test] = (expected**2).sum(axis=2)
    return errors, sizes
