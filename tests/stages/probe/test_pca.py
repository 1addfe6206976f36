from __future__ import annotations

import numpy as np
import pytest

from spillover.core.tables import check_columns
from spillover.stages.probe.parallel_states import ParallelStates
from spillover.stages.probe.pca import PAIR_COLUMNS, PCA_COLUMNS, correlations, layer_pca, pca_tables, without_length

LANGUAGES = ("one", "two", "three")
IDS = [f"item-{i}" for i in range(200)]


def tables(states, lengths):
    def read(pooling, layer):
        return dict(zip(LANGUAGES, states, strict=True))

    return pca_tables(ParallelStates(read, dict(zip(LANGUAGES, lengths, strict=True)), IDS, ["mean"], [0]), 0)


def test_parallel_items_correlate_and_shuffled_items_or_lengths_do_not():
    rng = np.random.default_rng(0)
    items = rng.normal(size=(200, 8)) * [9, 3, 1, 1, 1, 1, 1, 1]
    states = np.stack([items + rng.normal(0, 0.3, items.shape) for _ in LANGUAGES])
    points, pairs = tables(states, rng.integers(20, 200, size=(3, 200)))
    assert len(points) == 600
    check_columns(points, PCA_COLUMNS)
    check_columns(pairs, PAIR_COLUMNS)
    assert points["explained_1"].iloc[0] > points["explained_2"].iloc[0] > 0
    assert pairs["correlation"].gt(0.95).all()
    assert pairs[["centred", "residual"]].gt(0.9).all(axis=None)
    assert pairs[["shuffled", "length"]].abs().lt(0.25).all(axis=None)
    assert pairs["length_share"].lt(0.3).all()


def test_states_that_encode_length_alone_have_a_large_length_share():
    rng = np.random.default_rng(0)
    base = rng.integers(20, 400, size=200)
    lengths = np.stack([base, np.round(base * 1.3), np.round(base * 0.8)]).astype(int)
    direction = rng.normal(size=8)
    states = np.log(lengths)[:, :, None] * direction + rng.normal(0, 0.05, (3, 200, 8))
    _, pairs = tables(states, lengths)
    assert pairs["correlation"].gt(0.95).all()
    assert pairs["length_share"].gt(0.95).all()
    assert pairs["residual"].abs().lt(0.25).all()


def test_centring_removes_a_component_that_only_separates_languages():
    rng = np.random.default_rng(0)
    items = rng.normal(size=(200, 8)) * [0, 3, 1, 1, 1, 1, 1, 1]
    states = np.stack([items + rng.normal(0, 0.3, items.shape) for _ in LANGUAGES])
    states[:, :, 0] += np.array([-30, 0, 30])[:, None]
    _, pairs = tables(states, rng.integers(20, 200, size=(3, 200)))
    assert pairs["correlation"].abs().lt(0.4).all()
    assert pairs["centred"].gt(0.9).all()


def test_correlations_equal_numpys_and_are_nan_when_undefined():
    values = np.random.default_rng(0).normal(size=(3, 10))
    np.testing.assert_allclose(correlations(values), np.corrcoef(values))
    values[1] = 2.0
    r = correlations(values)
    assert np.isnan(r[1]).all()
    assert r[0, 2] == pytest.approx(np.corrcoef(values[[0, 2]])[0, 1])


def test_without_length_equals_a_regression_by_numpy():
    rng = np.random.default_rng(0)
    states, lengths = rng.normal(size=(2, 30, 3)), rng.integers(5, 90, size=(2, 30))
    residuals = without_length(states, lengths)
    for language_states, tokens, residual in zip(states, lengths, residuals, strict=True):
        for column in range(3):
            fit = np.polyfit(np.log(tokens), language_states[:, column], 2)
            expected = language_states[:, column] - np.polyval(fit, np.log(tokens))
            np.testing.assert_allclose(residual[:, column], expected, atol=1e-8)


def test_states_without_variance_give_nan_and_no_warning():
    pca = layer_pca(np.ones((2, 4, 3)), 0)
    assert np.isnan(pca.explained).all()
    assert np.isnan(pca.points).all()
    assert np.isnan(correlations(pca.points[:, :, 0])).all()
