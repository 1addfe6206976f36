"""Do two languages' states have the same shape, whatever way it is turned: debiased linear CKA, SVCCA, Procrustes.

With more dimensions than items, any two clouds can be turned onto each other. So CKA is the debiased one (Song et al.
2012; Kornblith et al. 2019), which is 0 on average for unrelated clouds; SVCCA (Raghu et al. 2017) keeps one principal
component for ten items; the Procrustes rotation is fitted on one half of the items and judged on the other. SVCCA stays
above 0 for unrelated clouds: read it beside its null alone.

Each gives a value per item with the measure as their mean: for CKA and SVCCA from leaving the item out (the jackknife),
with the components of SVCCA held; for Procrustes the item's own error, with the rotation held.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]

MOST_COMPONENTS = 10
ITEMS_PER_COMPONENT = 10
FEWEST_ITEMS = 6
FLAT = 1e-12
SHUFFLED_CELLS = 1 << 21


@dataclass(frozen=True)
class Cloud:
    """One language at one layer. kernel: [n, n] Gram matrix, U-centred (Székely and Rizzo 2014). basis: [n, k]
    orthonormal, its leading principal components over items. halves: for each half of the items as the one to fit on,
    [n, k] coordinates of all items on that half's own components. Empty (k = 0) when the states do not vary."""

    kernel: Floats
    basis: Floats
    halves: tuple[Floats, Floats]


def cloud(states: NDArray[np.floating], halves: tuple[Indices, Indices]) -> Cloud:
    """states: [n, hidden], n ≥ 6. halves: the items of each half."""
    wide = np.asarray(states, dtype=np.float64)
    centred = wide - wide.mean(axis=0)
    if (centred**2).sum() <= FLAT * (wide**2).sum():
        centred = np.zeros_like(centred)
    gram = centred @ centred.T
    most = components(len(wide))
    return Cloud(
        u_centred(gram),
        _leading(gram, most)[0],
        (_on_own_components(gram, halves[0], most), _on_own_components(gram, halves[1], most)),
    )


def components(items: int) -> int:
    """How many principal components that many items can carry."""
    return max(1, min(MOST_COMPONENTS, items // ITEMS_PER_COMPONENT))


def u_centred(gram: Floats) -> Floats:
    """[n, n] → the same without its diagonal, less its row and column effects, so that the inner product of two is
    unbiased for the covariance of what they were made from (Székely and Rizzo 2014; the estimator of Song et al.)."""
    n = len(gram)
    off = gram - np.diag(np.diag(gram))
    rows = off.sum(axis=1) / (n - 2)
    centred = off - rows[:, None] - rows[None, :] + rows.sum() / (n - 1)
    np.fill_diagonal(centred, 0.0)
    return np.asarray(centred)


def _leading(gram: Floats, most: int) -> tuple[Floats, Floats]:
    """The leading eigenvectors [n, k] and values [k] of a Gram matrix; fewer than `most` when its rank is smaller."""
    values, vectors = np.linalg.eigh(gram)
    values, vectors = values[::-1][:most], vectors[:, ::-1][:, :most]
    real = values > max(values[0], 0.0) * 1e-9
    return vectors[:, real], values[real]


def _on_own_components(gram: Floats, fit: Indices, most: int) -> Floats:
    """[n, k]: all items on the principal components of the items `fit`, less their mean. gram: [n, n] of all."""
    mean_fit = gram[:, fit].mean(axis=1)
    centred = gram[:, fit] - mean_fit[:, None] - gram[np.ix_(fit, fit)].mean(axis=0)[None, :] + mean_fit[fit].mean()
    if np.trace(centred[fit]) <= FLAT * max(np.trace(gram), 1.0):
        return np.zeros((len(gram), 0))
    vectors, values = _leading(centred[fit], most)
    return np.asarray(centred @ vectors / np.sqrt(values))


def _leaving_one_out(value: float, without: Floats) -> Floats:
    """[n] measures without each item → [n] parts whose mean is the measure and whose spread is the jackknife's."""
    return np.asarray(value + (len(without) - 1) * (without.mean() - without))


def _products(source: Floats, target: Floats) -> tuple[float, Floats]:
    """The unbiased covariance of two U-centred kernels [n, n], and [n] the same without each item."""
    n = len(source)
    by_item = (source * target).sum(axis=1)
    total, m = by_item.sum(), n - 1
    without = (total - 2 * by_item * (m - 1) / (m - 2)) / (m * (m - 3))
    return float(total / (n * (n - 3))), without


def cka_parts(source: Cloud, target: Cloud) -> Floats:
    """[n]: parts of debiased linear CKA, at most 1, 0 on average for unrelated clouds and then as often below it."""
    own, own_without = _products(source.kernel, target.kernel)
    scales = [_products(side.kernel, side.kernel) for side in (source, target)]
    with np.errstate(divide="ignore", invalid="ignore"):
        value = own / np.sqrt(scales[0][0] * scales[1][0])
        without = own_without / np.sqrt(np.maximum(scales[0][1], 0) * np.maximum(scales[1][1], 0))
    return _leaving_one_out(value, without)


def linear_cka(source: NDArray[np.floating], target: NDArray[np.floating]) -> float:
    """Debiased linear CKA of two [n, hidden], n ≥ 6. NaN when one of them does not vary."""
    halves = in_halves(len(source))
    return float(cka_parts(cloud(source, halves), cloud(target, halves)).mean())


def cka_shuffled(sources: Sequence[Cloud], target: Cloud, shuffles: Indices) -> Floats:
    """[sources, draws]: debiased CKA of each source with the target's items in each order of `shuffles`, [draws, n].
    The shuffled target is made once for all of them."""
    kernels = np.stack([source.kernel.ravel() for source in sources], axis=1)
    n = len(target.kernel)
    found = np.empty((len(shuffles), len(sources)))
    step = max(1, SHUFFLED_CELLS // (n * n))
    for start in range(0, len(shuffles), step):
        part = shuffles[start : start + step]
        moved = np.take(target.kernel.ravel(), (part[:, :, None] * n + part[:, None, :]).reshape(len(part), -1))
        found[start : start + step] = moved @ kernels
    scale = np.sqrt((kernels**2).sum(axis=0) * (target.kernel**2).sum())
    return np.asarray(np.divide(found.T, scale[:, None], out=np.full(found.T.shape, np.nan), where=scale[:, None] > 0))


def svcca_parts(source: Cloud, target: Cloud) -> Floats:
    """[n]: parts of SVCCA, the mean canonical correlation of the leading principal components, in [0, 1]."""
    left, right = source.basis, target.basis
    n = len(left)
    if not left.shape[1] or not right.shape[1]:
        return np.full(n, np.nan)
    cross = left.T @ right
    # Without item i both bases lose a row and are centred anew: each Gram matrix is I - c u u', whose root is closed.
    c = n / (n - 1)
    outer = cross[None] - c * left[:, :, None] * right[:, None, :]
    without = _root_without(left, c) @ outer @ _root_without(right, c)
    return _leaving_one_out(mean_singular(cross[None])[0], mean_singular(without))


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
    # Roots of eigenvalues: half the time of the singular values, and more exact than anything here needs.
    squares = np.linalg.eigvalsh(np.swapaxes(matrices, -1, -2) @ matrices)
    return np.asarray(np.sqrt(np.clip(squares, 0.0, 1.0)).mean(axis=-1))


def svcca_shuffled(source: Cloud, target: Cloud, shuffles: Indices) -> Floats:
    """[draws]: SVCCA with the target's items in each order of `shuffles`, [draws, n]."""
    if not source.basis.shape[1] or not target.basis.shape[1]:
        return np.full(len(shuffles), np.nan)
    return mean_singular(source.basis.T @ target.basis[shuffles])


def in_halves(items: int, rng: np.random.Generator | None = None) -> tuple[Indices, Indices]:
    """The numbers of the items in two halves; drawn when there is a generator, else every second."""
    order = np.arange(items) if rng is None else rng.permutation(items)
    return np.sort(order[::2]), np.sort(order[1::2])


def shuffled_in_halves(halves: tuple[Indices, Indices], draws: int, rng: np.random.Generator) -> Indices:
    """[draws, n]: orders that move items within their half alone, so that what is judged is never fitted on."""
    orders = np.empty((draws, sum(map(len, halves))), dtype=np.int64)
    for half in halves:
        orders[:, half] = rng.permuted(np.tile(half, (draws, 1)), axis=1)
    return orders


def procrustes_parts(source: Cloud, target: Cloud, halves: tuple[Indices, Indices]) -> Floats:
    """[n]: parts of the Procrustes residual: the share of the target's variance, on its leading components, that is
    left when the source is turned and scaled onto it. 0 is the same shape; 1 is no better than the mean; more is worse.

    Turned and scaled as fits one half of the items best, judged on the other, and the halves change places.
    """
    errors, sizes = _procrustes(source, target, halves, np.arange(sum(map(len, halves)))[None])
    return ratio_parts(errors[0], sizes[0])


def ratio_parts(errors: Floats, sizes: Floats) -> Floats:
    """[n] parts of sum(errors) / sum(sizes), linearised: their mean is the ratio, their spread its error."""
    if not sizes.sum() > 0:
        return np.full(len(errors), np.nan)
    ratio = errors.sum() / sizes.sum()
    return np.asarray(ratio + (errors - ratio * sizes) / sizes.mean())


def procrustes_shuffled(source: Cloud, target: Cloud, halves: tuple[Indices, Indices], orders: Indices) -> Floats:
    """[draws]: the residual with the target's items in each of `orders`, from `shuffled_in_halves`."""
    errors, sizes = _procrustes(source, target, halves, orders)
    total = sizes.sum(axis=1)
    return np.asarray(np.divide(errors.sum(axis=1), total, out=np.full(len(orders), np.nan), where=total > 0))


def _procrustes(
    source: Cloud, target: Cloud, halves: tuple[Indices, Indices], orders: Indices
) -> tuple[Floats, Floats]:
    """[draws, n] twice: squared error and squared size of each item while its half was not fitted on."""
    errors, sizes = np.zeros(orders.shape), np.zeros(orders.shape)
    for left, right, fit, test in zip(source.halves, target.halves, halves, halves[::-1], strict=True):
        if not left.shape[1] or not right.shape[1]:
            continue
        u, strength, v = np.linalg.svd(left[fit].T @ right[orders[:, fit]], full_matrices=False)
        scale = strength.sum(axis=1) / (left[fit] ** 2).sum()
        turned = scale[:, None, None] * (left[test] @ (u @ v))
        wanted = right[orders[:, test]]
        errors[:, test] = ((wanted - turned) ** 2).sum(axis=2)
        sizes[:, test] = (wanted**2).sum(axis=2)
    return errors, sizes
