"""Summaries against scikit-learn and by hand; what is undefined is NaN."""

from __future__ import annotations

import math

import numpy as np
import pytest

from spillover.stats.calibration import normalised
from spillover.stats.summary import (
    auroc,
    auroc_interval,
    calibrated_hits,
    constant_prediction,
    expected_calibration_error,
    summarise_language,
)
from tests.builders import (
    table,
)


def test_ties_count_as_chance_and_are_counted():
    scores = table([[-1, -1], [-1, -2], [-2, -1]], [0, 0, 0])
    np.testing.assert_array_equal(scores.hits(), [0.5, 1, 0])
    assert summarise_language(scores).ties == 1


def test_calibration_removes_a_prior_and_auroc_is_invariant_to_it():
    rng = np.random.default_rng(0)
    gold = np.arange(200) % 2
    logprobs = np.stack([np.where(gold == 0, -1.0, -2.0), np.where(gold == 1, -1.0, -2.0)], axis=1) + rng.normal(
        0, 0.3, (200, 2)
    )
    fair, biased = table(logprobs, gold), table(logprobs + np.array([5, 0]), gold)
    assert biased.hits().mean() == 0.5
    np.testing.assert_allclose(calibrated_hits(biased), calibrated_hits(fair))
    assert auroc(biased) == pytest.approx(auroc(fair)) == pytest.approx(1.0, abs=0.02)


def test_what_is_undefined_is_nan():
    one_class = summarise_language(table([[-1, -2], [-2, -1]], [0, 0]))
    assert math.isnan(one_class.auroc)
    nothing = summarise_language(table(np.zeros((0, 2)), []))
    assert math.isnan(nothing.accuracy)
    assert math.isnan(nothing.macro_f1)


def test_shares_show_constant_predictions():
    summary = summarise_language(table([[-1, -9]] * 4, [0, 1, 0, 1]))
    assert summary.predicted == {"a": 1.0, "b": 0.0}
    assert summary.gold == {"a": 0.5, "b": 0.5}
    assert summary.macro_f1 == pytest.approx(1 / 3)


def test_chance_is_flagged_and_skill_is_not():
    rng = np.random.default_rng(0)
    gold = np.arange(100) % 2
    assert summarise_language(table(rng.normal(-3, 1, (100, 2)), gold)).at_chance
    assert not summarise_language(table(rng.normal(-3, 1, (100, 2)) + 2 * np.eye(2)[gold], gold)).at_chance
    assert summarise_language(table(np.full((100, 2), -1.0), gold)).at_chance


def test_expected_calibration_error_by_hand():
    sure = table(np.log([[0.85, 0.15]] * 4), [0, 0, 1, 1])
    assert expected_calibration_error(sure) == pytest.approx(0.35)
    assert math.isnan(expected_calibration_error(table(np.zeros((0, 2)), [])))


def test_a_perfect_area_is_bounded_by_its_items():
    gold = np.arange(40) % 2
    perfect = table(normalised(np.eye(2)[gold] * 3 + np.random.default_rng(0).random((40, 2))), gold)
    area, low, high = auroc_interval(perfect)
    assert (area, high) == (1, 1)
    assert low == pytest.approx(0.025 ** (1 / 20))
    assert not summarise_language(perfect).at_chance
    assert summarise_language(table([[-1, -2], [-1, -2], [-2, -1], [-2, -1]], [0, 0, 1, 1])).at_chance


def test_one_item_ranked_last_of_24_does_not_make_a_large_area_one_of_chance():
    """Placements of a real run: area .868, and two of twelve positives far down. Hall's interval alone began at .21."""
    negative = [0.37, 1.18, -0.22, 0.7, 0.81, 0.26, -0.29, -1.38, 0.73, -0.35, -0.11, 0.72]
    positive = [0.85, 0.93, -0.05, 0.91, 0.97, 1.46, 0.77, 1.04, 0.77, 1.01, 0.75, 1.38]
    margin, gold = -np.array(negative + positive), np.repeat([0, 1], 12)
    for sign in (1, -1):
        scores = table(normalised(np.stack([sign * margin, np.zeros(24)], axis=1)), gold)
        area, low, high = auroc_interval(scores)
        assert min(area, 1 - area) == pytest.approx(1 - 0.868, abs=2e-3)
        assert low < area < high
        assert not summarise_language(scores).at_chance
        assert high - low < 0.4


def test_constant_predictions_are_named():
    assert constant_prediction(table([[-1, -2], [-1, -3]], [0, 1])) == "a"
    assert constant_prediction(table([[-1, -2], [-3, -1]], [0, 1])) == ""
    assert constant_prediction(table([[-1, -1], [-2, -2]], [0, 1])) == "a tie"
    assert constant_prediction(table([[-1, -2]], [0])) == ""


@pytest.mark.parametrize("n_labels", range(2, 12))
def test_a_perfect_area_has_an_interval_however_many_labels_it_is_a_mean_over(n_labels):
    """A mean of ones is one, where seven sevenths added up are less: then it had no interval."""
    labels = tuple("abcdefghijk"[:n_labels])
    gold = np.arange(2 * n_labels) % n_labels
    area, low, high = auroc_interval(table(5 * np.eye(n_labels)[gold] - 6, gold, labels))
    assert area == pytest.approx(1) == high
    assert low < 0.5
    area, low, high = auroc_interval(table(-5 * np.eye(n_labels)[gold] - 1, gold, labels))
    assert area == pytest.approx(0)
    assert high > 0.5


def test_rounding_does_not_choose_between_labels_that_tie_after_calibration():
    """Every item says the same, so that calibration leaves all labels equal: the first is given, not the luckiest."""
    for n in range(6, 60, 3):
        scores = table([[-0.1, -2.3, -3.7]] * n, [0] * (n - 2) + [1, 2], ("a", "b", "c"))
        f1_of_the_first = 2 * (n - 2) / (2 * n - 2)
        assert summarise_language(scores).calibrated_macro_f1 == pytest.approx(f1_of_the_first / 3), n
