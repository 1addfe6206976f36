"""The length baseline on lengths whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest

from spillover.stats.geometry import cka_contributions, in_halves, layer_representation, procrustes_contributions
from spillover.stats.length_baseline import (
    length_basis,
    length_cka,
    length_margins,
    length_procrustes,
    length_retrieval,
    length_svcca,
    standardised,
)
from spillover.stats.similarity import cosines, margins

ITEMS = 40


def states_of_length(seed=0):
    """[n] lengths, and two languages' states that are the same quadratic in length."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(20, 120, ITEMS)
    z = standardised(lengths)
    line, curve, source, target = rng.normal(size=(4, 30))
    shape = np.outer(z, line) + 0.2 * np.outer(z**2, curve)
    return lengths, shape + source, shape + target


def test_items_of_equal_length_share_the_hit():
    same = np.full(5, 30)
    hits = length_retrieval(same, same)
    assert hits.forward.tolist() == hits.backward.tolist() == [0.2] * 5
    assert hits.mexa == pytest.approx([1 / 9] * 5)  # one of 9 cells, with ties broken at random
    assert length_basis(same).shape == (5, 1)


def test_different_lengths_retrieve_every_item():
    lengths = np.array([10, 20, 30, 40])
    hits = length_retrieval(lengths, lengths * 2)
    assert hits.mexa.tolist() == hits.forward.tolist() == hits.backward.tolist() == [1.0] * 4


def test_states_that_are_a_quadratic_in_length_are_predicted_in_full():
    lengths, source, target = states_of_length()
    basis, halves = length_basis(lengths), in_halves(ITEMS, np.random.default_rng(0))
    left, right = layer_representation(source, halves), layer_representation(target, halves)
    assert length_cka(left, right, basis, basis).mean() == pytest.approx(cka_contributions(left, right).mean(), abs=0.1)
    assert length_procrustes(right, lengths, halves).mean() < 1e-6
    assert procrustes_contributions(left, right, halves).mean() < 1e-6


def test_margins_are_those_of_cosines_that_a_regression_on_length_predicts():
    lengths, source, target = states_of_length()
    basis, similarity = length_basis(lengths), cosines(source, target)

    def predicted(rows):
        fits = [np.polyfit(standardised(lengths), row, 2) for row in rows]
        return np.stack([np.polyval(fit, standardised(lengths)) for fit in fits])

    expected = margins(predicted(predicted(similarity).T).T)
    np.testing.assert_allclose(length_margins(similarity, basis, basis), expected)


def test_uninformative_lengths_predict_nothing():
    _, source, target = states_of_length()
    halves = in_halves(ITEMS, np.random.default_rng(0))
    left, right = layer_representation(source, halves), layer_representation(target, halves)
    constant = length_basis(np.full(ITEMS, 30))
    assert length_svcca(left, right, constant, constant) == pytest.approx(np.zeros(ITEMS), abs=1e-6)
    for seed in range(20):  # in some of them the residual is below 1 in its last digit
        halves = in_halves(ITEMS, np.random.default_rng(seed))
        right = layer_representation(target, halves)
        assert length_procrustes(right, np.full(ITEMS, 30), halves).tolist() == [1.0] * ITEMS, seed


def test_states_that_do_not_vary_are_undefined():
    lengths, source, _ = states_of_length()
    halves, basis = in_halves(ITEMS), length_basis(lengths)
    flat, varying = (layer_representation(states, halves) for states in (np.ones((ITEMS, 30)), source))
    assert np.isnan(length_cka(flat, varying, basis, basis)).all()
    assert np.isnan(length_svcca(flat, varying, basis, basis)).all()
