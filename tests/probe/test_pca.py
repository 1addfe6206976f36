from __future__ import annotations

import math

import numpy as np
import pytest

from spillover.probe.nulls import random_tokens, shuffled_items
from spillover.probe.pca import layer_pca, mean_correlation


def test_parallel_items_correlate_and_shuffled_ones_do_not():
    rng = np.random.default_rng(0)
    items = rng.normal(size=(200, 8)) * [9, 3, 1, 1, 1, 1, 1, 1]
    states = np.stack([items + rng.normal(0, 0.3, items.shape) for _ in range(4)])
    found = layer_pca(states, rng)
    assert found.correlation > 0.95
    assert abs(found.null) < 0.15
    assert found.points.shape == (4, 200, 2)
    assert found.explained[0] > found.explained[1] > 0


def test_mean_correlation_equals_numpys_and_is_nan_when_undefined():
    values = np.random.default_rng(0).normal(size=(3, 10))
    pairs = [np.corrcoef(values[i], values[j])[0, 1] for i, j in ((0, 1), (0, 2), (1, 2))]
    assert mean_correlation(values) == pytest.approx(np.mean(pairs))
    assert math.isnan(mean_correlation(values[:1]))
    assert math.isnan(mean_correlation(np.ones((2, 5))))


def test_states_without_variance_give_nan_and_no_warning():
    found = layer_pca(np.ones((2, 4, 3)), np.random.default_rng(0))
    assert np.isnan(found.explained).all()
    assert math.isnan(found.correlation)


def test_nulls_keep_what_they_must():
    rng = np.random.default_rng(0)
    values = np.arange(20.0).reshape(2, 10)
    moved = shuffled_items(values, rng)
    assert (np.sort(moved, axis=1) == values).all()
    tokens = random_tokens(10, 4, {0, 1, 2}, rng)
    assert len(set(tokens)) == 4
    assert not set(tokens) & {0, 1, 2}
