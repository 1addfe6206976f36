"""CKA, SVCCA and Procrustes against independent implementations, and on representations whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import orthogonal_procrustes
from scipy.spatial import procrustes as scipy_procrustes
from sklearn.decomposition import PCA
from statsmodels.multivariate.cancorr import CanCorr

from spillover.stats.geometry import (
    cka_contributions,
    cka_shuffled,
    in_halves,
    layer_representation,
    n_components,
    procrustes_contributions,
    procrustes_shuffled,
    shuffled_in_halves,
    svcca_contributions,
    svcca_shuffled,
)

RNG = np.random.default_rng


def rotated(states, seed=1):
    return states @ np.linalg.qr(RNG(seed).normal(size=(states.shape[1],) * 2))[0] * 3 + 5


def states_of(n=60, hidden=90, rank=6, noise=0.3, seed=0):
    """Low-rank states in many dimensions with some noise, and another view of the same items."""
    rng = RNG(seed)
    meaning = rng.normal(size=(n, rank)) * np.linspace(3, 1, rank)
    views = [meaning @ rng.normal(size=(rank, hidden)) + noise * rng.normal(size=(n, hidden)) for _ in range(2)]
    return views[0], views[1]


def hsic(k, l):  # noqa: E741
    """Song et al. 2012, equation 5, letter by letter."""
    n = len(k)
    k, l = k - np.diag(np.diag(k)), l - np.diag(np.diag(l))  # noqa: E741
    one = np.ones(n)
    first = np.trace(k @ l)
    second = (one @ k @ one) * (one @ l @ one) / ((n - 1) * (n - 2))
    third = 2 * (one @ k @ l @ one) / (n - 2)
    return (first + second - third) / (n * (n - 3))


def cka(a, b):
    return hsic(a @ a.T, b @ b.T) / np.sqrt(hsic(a @ a.T, a @ a.T) * hsic(b @ b.T, b @ b.T))


def test_cka_is_song_and_kornblith():
    source, target = states_of(noise=1.5)
    contributions = cka_contributions(*(layer_representation(side, in_halves(60)) for side in (source, target)))
    assert contributions.mean() == pytest.approx(cka(source, target))
    without = [cka(np.delete(source, i, 0), np.delete(target, i, 0)) for i in range(60)]
    expected = contributions.mean() + 59 * (np.mean(without) - without)
    np.testing.assert_allclose(contributions, expected)


def test_svcca_is_the_canonical_correlation_of_principal_components():
    source, target = states_of(noise=1.5)
    k = n_components(60)
    scores = [PCA(k).fit_transform(side) for side in (source, target)]
    expected = CanCorr(*scores).cancorr.mean()
    contributions = svcca_contributions(*(layer_representation(side, in_halves(60)) for side in (source, target)))
    assert contributions.mean() == pytest.approx(expected)


def test_svcca_without_an_item_equals_computing_it_without():
    source, target = states_of(noise=1.5)
    left, right = (layer_representation(side, in_halves(60)) for side in (source, target))
    contributions = svcca_contributions(left, right)
    without = []
    for i in range(60):
        sides = [np.delete(side.basis, i, 0) for side in (left, right)]
        q = [np.linalg.qr(side - side.mean(axis=0))[0] for side in sides]
        without.append(np.linalg.svd(q[0].T @ q[1])[1].mean())
    np.testing.assert_allclose(contributions, contributions.mean() + 59 * (np.mean(without) - without))


def test_procrustes_is_scipys_rotation_judged_on_the_other_half():
    source, target = states_of(noise=1.5)
    halves = in_halves(60, RNG(0))
    error = size = 0.0
    for fit, test in (halves, halves[::-1]):
        pcas = [PCA(n_components(60)).fit(side[fit]) for side in (source, target)]
        a, b = (pca.transform(side[fit]) for pca, side in zip(pcas, (source, target), strict=True))
        rotation, strength = orthogonal_procrustes(a, b)
        a_test, b_test = (pca.transform(side[test]) for pca, side in zip(pcas, (source, target), strict=True))
        error += ((b_test - strength / (a**2).sum() * a_test @ rotation) ** 2).sum()
        size += (b_test**2).sum()
    contributions = procrustes_contributions(*(layer_representation(side, halves) for side in (source, target)), halves)
    assert contributions.mean() == pytest.approx(error / size)


def test_the_fitted_half_agrees_with_scipys_procrustes_disparity():
    """When the same items are fitted and judged, the residual is scipy's disparity."""
    source, target = states_of(n=40, hidden=3, rank=3, noise=0.5)
    a, b = source[:, :3], target[:, :3]
    *_, disparity = scipy_procrustes(b, a)
    both = np.concatenate([a, a]), np.concatenate([b, b])
    halves = np.arange(40), np.arange(40, 80)
    contributions = procrustes_contributions(*(layer_representation(side, halves) for side in both), halves)
    assert contributions.mean() == pytest.approx(disparity)


@pytest.mark.parametrize("measure", ["cka", "svcca", "procrustes"])
def test_rotation_and_scaling_change_nothing(measure):
    source, _ = states_of()
    values = measures(source, rotated(source))
    assert values[measure] == pytest.approx(0 if measure == "procrustes" else 1, abs=1e-6)


def measures(source, target, seed=3):
    """Each measure of one pair."""
    halves = in_halves(len(source), RNG(seed))
    left, right = layer_representation(source, halves), layer_representation(target, halves)
    return {
        "cka": cka_contributions(left, right).mean(),
        "svcca": svcca_contributions(left, right).mean(),
        "procrustes": procrustes_contributions(left, right, halves).mean(),
    }


def nulls(source, target, seed=3, draws=200):
    rng = RNG(seed)
    halves = in_halves(len(source), rng)
    left, right = layer_representation(source, halves), layer_representation(target, halves)
    shuffles = rng.permuted(np.tile(np.arange(len(source)), (draws, 1)), axis=1)
    return {
        "cka": cka_shuffled([left], right, shuffles)[0],
        "svcca": svcca_shuffled(left, right, shuffles),
        "procrustes": procrustes_shuffled(left, right, halves, shuffled_in_halves(halves, draws, rng)),
    }


def test_unrelated_states_are_at_their_null_with_more_dimensions_than_items():
    rng = RNG(5)
    values, null = [], []
    for seed in range(40):
        source, target = rng.normal(size=(2, 60, 200))
        values.append(list(measures(source, target).values()))
        null.append([draws.mean() for draws in nulls(source, target, seed, draws=20).values()])
    difference = np.mean(values, axis=0) - np.mean(null, axis=0)
    error = np.std(values, axis=0) / np.sqrt(40)
    assert (np.abs(difference) < 4 * error).all()
    assert abs(np.mean(values, axis=0)[0]) < 0.01  # the biased CKA would be about 0.8 here
    assert np.mean(values, axis=0)[2] > 1


def test_shuffles_equal_computing_the_measure_on_shuffled_states():
    source, target = states_of(noise=1.5)
    halves = in_halves(60, RNG(0))
    left, right = layer_representation(source, halves), layer_representation(target, halves)
    order = RNG(1).permuted(np.tile(np.arange(60), (3, 1)), axis=1)
    within = shuffled_in_halves(halves, 3, RNG(2))
    for i in range(3):
        moved = layer_representation(target[order[i]], halves)
        assert cka_shuffled([left], right, order)[0, i] == pytest.approx(cka_contributions(left, moved).mean())
        assert svcca_shuffled(left, right, order)[i] == pytest.approx(svcca_contributions(left, moved).mean())
        inside = layer_representation(target[within[i]], halves)
        expected = procrustes_contributions(left, inside, halves).mean()
        assert procrustes_shuffled(left, right, halves, within)[i] == pytest.approx(expected)


def test_states_that_do_not_vary_are_undefined_not_zero():
    flat = np.repeat(RNG(0).normal(size=(1, 50)) * 1e4, 40, axis=0)
    values = measures(flat, states_of(n=40)[0])
    assert all(np.isnan(value) for value in values.values())
    assert all(np.isnan(draws).all() for draws in nulls(flat, flat).values())
