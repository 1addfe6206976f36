from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from spillover.stats.nulls import share_explained, shuffled_items, shuffled_orders, sign_flip


def test_sign_flip_is_scipys_paired_permutation_test():
    rng = np.random.default_rng(0)
    changes = rng.normal(0.4, 1, size=(12, 2))
    changes[:, 1] -= 0.4
    p = sign_flip(changes, 20_000, rng)
    for column in range(2):
        exact = stats.permutation_test((changes[:, column],), np.mean, permutation_type="samples", n_resamples=np.inf)
        assert p[column] == pytest.approx(exact.pvalue, abs=0.015)


def test_sign_flip_edges():
    rng = np.random.default_rng(0)
    changes = np.stack([np.zeros(9), np.full(9, np.nan), np.ones(9)], axis=1)
    p = sign_flip(changes, 999, rng)
    assert p[0] == 1
    assert np.isnan(p[1])
    assert p[2] == pytest.approx(2 / 2**9, abs=0.01)


def test_share_explained_stays_within_0_and_1_and_is_undefined_without_a_value():
    value, null = np.array([0.5, 0.5, 0.5, 0.0, -0.1]), np.array([0.1, 0.9, -0.2, 0.0, 0.1])
    np.testing.assert_allclose(share_explained(value, null), [0.2, 1, 0, np.nan, np.nan])


def test_shuffled_orders_are_permutations():
    orders = shuffled_orders(7, 5, np.random.default_rng(0))
    assert (np.sort(orders, axis=1) == np.arange(7)).all()


def test_shuffled_items_stay_in_their_language():
    values = np.arange(20.0).reshape(2, 10)
    assert (np.sort(shuffled_items(values, np.random.default_rng(0)), axis=1) == values).all()


def test_a_value_that_is_zero_up_to_rounding_has_no_share():
    assert np.isnan(share_explained(np.array([1e-16]), np.array([1e-17])))
