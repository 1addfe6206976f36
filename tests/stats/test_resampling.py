"""The bootstrap over items."""

from __future__ import annotations

import numpy as np

from spillover.stats.resampling import item_weights, resampled_means


def test_each_resample_has_as_many_items():
    assert (item_weights(7, 5, np.random.default_rng(0)).sum(axis=1) == 7).all()


def test_resampled_hits_are_exact_fractions():
    """On every CPU kernel: where every item is a hit, the rate of every resample is exactly 1."""
    counts = item_weights(49, 500, np.random.default_rng(0))
    assert set(np.unique(resampled_means(np.ones((49, 3)), counts))) == {1.0}
    hits = np.repeat([0.0, 1.0], [20, 29])
    np.testing.assert_array_equal(resampled_means(hits, counts), counts[:, 20:].sum(axis=1) / 49)
