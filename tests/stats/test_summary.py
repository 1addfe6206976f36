"""Numbers against scikit-learn and by hand; what is undefined is NaN."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import logit
from sklearn.metrics import roc_auc_score

from spillover.stats.auroc import auroc_influence
from spillover.stats.calibration import batch_calibrated, log_odds, normalised
from spillover.stats.summary import (
    auroc,
    auroc_interval,
    calibrated_hits,
    expected_calibration_error,
    hits,
    macro_f1,
    one_answer,
    summarise_language,
)
from tests.builders import random_table, table


def test_ties_count_as_chance_and_are_counted():
    scores = table([[-1, -1], [-1, -2], [-2, -1]], [0, 0, 0])
    np.testing.assert_array_equal(hits(scores), [0.5, 1, 0])
    assert summarise_language(scores).ties == 1


def test_calibration_takes_out_a_prior_and_auroc_never_saw_it():
    rng = np.random.default_rng(0)
    gold = np.arange(200) % 2
    logprobs = np.stack([np.where(gold == 0, -1.0, -2.0), np.where(gold == 1, -1.0, -2.0)], axis=1) + rng.normal(
        0, 0.3, (200, 2)
    )
    fair, biased = table(logprobs, gold), table(logprobs + np.array([5, 0]), gold)
    assert hits(biased).mean() == 0.5
    np.testing.assert_allclose(calibrated_hits(biased), calibrated_hits(fair))
    assert auroc(biased) == pytest.approx(auroc(fair)) == pytest.approx(1.0, abs=0.02)


def test_auroc_equals_scikit_learn_one_vs_rest():
    scores = random_table(np.random.default_rng(1))
    expected = roc_auc_score(scores.gold, np.exp(normalised(scores.logprobs)), multi_class="ovr")
    assert auroc(scores) == pytest.approx(expected)


def test_what_is_undefined_is_nan():
    one_class = summarise_language(table([[-1, -2], [-2, -1]], [0, 0]))
    assert math.isnan(one_class.auroc)
    nothing = summarise_language(table(np.zeros((0, 2)), []))
    assert math.isnan(nothing.accuracy)
    assert math.isnan(nothing.macro_f1)


def test_shares_show_a_model_that_says_one_label():
    summary = summarise_language(table([[-1, -9]] * 4, [0, 1, 0, 1]))
    assert summary.predicted == {"a": 1.0, "b": 0.0}
    assert summary.gold == {"a": 0.5, "b": 0.5}
    assert summary.macro_f1 == pytest.approx(1 / 3)


@given(st.lists(st.lists(st.floats(-50, 0), min_size=3, max_size=3), min_size=1, max_size=10))
def test_calibrated_columns_average_to_zero_and_rows_ignore_a_shift(rows):
    values = np.array(rows, dtype=np.float32)
    calibrated = batch_calibrated(values)
    np.testing.assert_allclose(calibrated.mean(axis=0), 0, atol=1e-9)
    np.testing.assert_allclose(np.exp(normalised(values)).sum(axis=1), 1, atol=1e-9)


def test_delong_variance_equals_its_definition():
    rng = np.random.default_rng(0)
    scores = random_table(rng, 40, ("a", "b"))
    values = normalised(scores.logprobs)
    area, influence = auroc_influence(values, scores.gold)
    positive, negative = values[scores.gold == 0, 0], values[scores.gold == 1, 0]
    wins = (positive[:, None] > negative) + 0.5 * (positive[:, None] == negative)
    variance = wins.mean(1).var(ddof=1) / len(positive) + wins.mean(0).var(ddof=1) / len(negative)
    assert area == pytest.approx(wins.mean())
    assert (influence**2).sum() / 40**2 == pytest.approx(variance)


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


def test_an_area_without_a_fault_has_a_bound_by_its_items():
    gold = np.arange(40) % 2
    perfect = table(normalised(np.eye(2)[gold] * 3 + np.random.default_rng(0).random((40, 2))), gold)
    area, low, high = auroc_interval(perfect)
    assert (area, high) == (1, 1)
    assert low == pytest.approx(0.025 ** (1 / 20))
    assert not summarise_language(perfect).at_chance
    assert summarise_language(table([[-1, -2], [-1, -2], [-2, -1], [-2, -1]], [0, 0, 1, 1])).at_chance


def test_one_answer_to_every_item_is_named():
    assert one_answer(table([[-1, -2], [-1, -3]], [0, 1])) == "a"
    assert one_answer(table([[-1, -2], [-3, -1]], [0, 1])) == ""
    assert one_answer(table([[-1, -1], [-2, -2]], [0, 1])) == "a tie"
    assert one_answer(table([[-1, -2]], [0])) == ""


def test_an_auroc_near_certainty_is_not_made_of_ties():
    """Normalised log-probabilities of 40 nats' lead are all 0 in double precision; their order is there all the same."""
    lead = np.array([42.0, 41.0, 40.0, 39.0])
    scores = table(np.stack([np.zeros(4), -lead], axis=1), [0, 0, 1, 1])
    assert len(np.unique(normalised(scores.logprobs)[:, 0])) == 1
    assert auroc(scores) == pytest.approx(1)
    assert auroc(table(scores.logprobs[:, ::-1], [0, 0, 1, 1])) == pytest.approx(0)


@given(st.lists(st.lists(st.integers(-40, 0), min_size=4, max_size=4), min_size=1, max_size=10))
def test_log_odds_are_the_logits_of_the_probabilities_whatever_the_order_of_the_labels(rows):
    values = np.array(rows) / 4
    shares = np.exp(normalised(values))
    np.testing.assert_allclose(log_odds(values), logit(shares), atol=1e-6)
    np.testing.assert_array_equal(log_odds(values)[:, 0], log_odds(values[:, [0, 3, 1, 2]])[:, 0])


@pytest.mark.parametrize("n_labels", range(2, 12))
def test_a_perfect_area_has_an_interval_however_many_labels_it_is_a_mean_over(n_labels):
    """Seven sevenths add up to less than one."""
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
    scores = table([[-0.1, -2.3, -3.7]] * 6, [0, 1, 2] * 2, ("a", "b", "c"))
    assert summarise_language(scores).calibrated_macro_f1 == pytest.approx(1 / 6)
    assert macro_f1(scores, np.array([[0.0, 1e-16, -1e-16]] * 6), 1e-9) == pytest.approx(1 / 6)
