"""Against scipy and statsmodels, and by hand."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import ttest_1samp
from statsmodels.stats.contingency_tables import mcnemar as reference_mcnemar
from statsmodels.stats.multitest import multipletests

from spillover.stats.intervals import (
    adjusted,
    corrected,
    mcnemar,
    mcnemar_mid,
    noninferiority_test,
    percentile,
    percentiles,
    plain,
    score_interval,
    score_z,
    sign_flip_test,
    skewed,
    two_way,
)


@pytest.mark.parametrize(("gained", "lost"), [(0, 0), (5, 0), (3, 9), (20, 20), (40, 22)])
def test_mcnemar_equals_statsmodels(gained, lost):
    expected = 1.0 if gained + lost == 0 else reference_mcnemar([[10, gained], [lost, 10]], exact=True).pvalue
    assert mcnemar(gained, lost) == pytest.approx(expected)


@given(st.integers(0, 60), st.integers(0, 60))
def test_mid_p_is_symmetric_and_below_the_exact_one(gained, lost):
    assert 0 <= mcnemar_mid(gained, lost) <= mcnemar(gained, lost) <= 1
    assert mcnemar_mid(gained, lost) == mcnemar_mid(lost, gained)


@pytest.mark.parametrize(("name", "method"), [("holm", "holm"), ("fdr_bh", "fdr_bh")])
def test_corrections_equal_statsmodels_and_leave_nan(name, method):
    values = np.array([0.001, np.nan, 0.04, 0.03, 0.2])
    found = corrected(values, name)
    np.testing.assert_allclose(found[~np.isnan(values)], multipletests(values[~np.isnan(values)], method=method)[1])
    assert math.isnan(found[1])


@given(st.integers(0, 40), st.integers(0, 40), st.integers(1, 100))
def test_one_language_is_agresti_and_mins_interval(gained, lost, same):
    n = gained + lost + same
    parts = np.repeat([1.0, -1.0, 0.0], [gained, lost, same])
    b, c = (gained + 0.5) / (n + 2), (lost + 0.5) / (n + 2)
    half = 1.959964 * math.sqrt((b + c - (b - c) ** 2) / (n + 2))
    found = adjusted(parts, 0.95)
    if n > 1:
        assert (found.low, found.high) == pytest.approx((b - c - half, b - c + half), abs=1e-6)
        assert (found.p < 0.05) == (found.low > 0 or found.high < 0)


def test_adjusted_is_near_the_t_interval_where_that_is_good():
    values = np.random.default_rng(0).normal(0.1, 0.2, 400)
    theirs = ttest_1samp(values, 0).confidence_interval(0.95)
    found = adjusted(values, 0.95)
    assert (found.low, found.high) == pytest.approx((theirs.low, theirs.high), abs=0.002)


def test_what_does_not_vary_has_no_interval():
    assert math.isnan(plain(np.full(9, 0.25), 0.95).low)
    assert math.isnan(adjusted(np.array([1.0]), 0.95).low)
    assert math.isnan(two_way(np.ones((9, 1)), 0.95).low)
    assert plain(np.full(9, 0.25), 0.95).delta == 0.25


def test_columns_that_are_copies_add_nothing_and_columns_apart_do():
    items = np.random.default_rng(0).normal(0, 1, 200)
    copies, apart = np.stack([items] * 5, axis=1), items[:, None] + np.array([-2, -1, 0, 1, 2])
    alone = items.std(ddof=1) / math.sqrt(200)
    assert two_way(copies, 0.95).error == pytest.approx(alone)
    assert two_way(apart, 0.95).error == pytest.approx(math.sqrt(alone**2 + 2.5 / 5))


def test_percentile_is_numpys():
    draws = np.arange(1001.0)
    assert percentile(draws, 0.9) == pytest.approx((50, 950))
    low, high = percentiles(np.stack([draws, draws + 1], axis=1), 0.9)
    assert (low.tolist(), high.tolist()) == (pytest.approx([50, 51]), pytest.approx([950, 951]))


@given(st.integers(0, 30), st.integers(0, 30), st.integers(1, 200))
def test_tangos_interval_ends_where_his_test_rejects(gained, lost, same):
    n = gained + lost + same
    low, high = score_interval(gained, lost, n, 0.95)
    assert -1 <= low <= (gained - lost) / n <= high <= 1
    for end in (low, high):
        if abs(end) < 1:
            assert abs(score_z(gained, lost, n, end)) == pytest.approx(1.959964, abs=1e-4)
    assert score_z(gained, lost, n, 0.0) == pytest.approx((gained - lost) / math.sqrt(max(gained + lost, 1)))


def test_where_no_item_turned_a_loss_is_excluded_by_the_number_of_items_alone():
    assert score_z(0, 0, 100, -0.02) == pytest.approx(math.sqrt(100 * 0.02 / 0.98))
    assert score_interval(0, 0, 100, 0.95)[0] < -0.02 < score_interval(0, 0, 250, 0.95)[0]


@given(st.lists(st.sampled_from([-1.0, -2 / 3, -0.5, 0.0, 1 / 3, 0.5, 1.0]), min_size=2, max_size=9))
def test_the_flip_test_is_every_way_to_exchange_the_sides(parts):
    values = np.array(parts)
    sums = np.abs([(np.array(signs) * values).sum() for signs in product((-1, 1), repeat=len(values))])
    own = abs(values.sum())
    exact, mid = sign_flip_test(values)
    assert exact == pytest.approx((sums >= own - 1e-9).mean())
    ties = (np.abs(sums - own) < 1e-9).mean()
    assert mid == pytest.approx(1.0 if own < 1e-9 else (sums > own + 1e-9).mean() + ties / 2)


def test_the_flip_test_is_mcnemars_where_items_turn_wholly_and_knows_half_ones():
    assert sign_flip_test(np.repeat([1.0, -1.0, 0.0], [9, 3, 20])) == (mcnemar(9, 3), mcnemar_mid(9, 3))
    assert sign_flip_test(np.zeros(5)) == (1, 1)
    assert math.isnan(sign_flip_test(np.ones(1))[0])
    halves = np.repeat([0.5, -0.5], 20)  # as many up as down: nothing happened
    assert sign_flip_test(halves) == (1, 1)


@given(st.lists(st.floats(-1, 1), min_size=3, max_size=40), st.sampled_from([0.8, 0.95]))
def test_the_skewed_interval_and_its_p_agree(parts, level):
    found = skewed(np.array(parts), level)
    if not math.isnan(found.low):
        assert found.low < found.high
        assert (found.p < 1 - level) == (found.low > 0 or found.high < 0)


def test_the_skewed_interval_is_the_normal_one_without_skewness_and_leans_to_the_long_side():
    even = np.repeat([1.0, -1.0], 500) + 0.1
    ours, theirs = skewed(even, 0.95), plain(even, 0.95)
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=2e-4)
    long = np.repeat([0.0, 1.0], [95, 5])
    found = skewed(long, 0.95)
    assert found.high - 0.05 > 0.05 - found.low


def test_rounding_is_not_spread():
    """Tenths have no exact sum: what is the same everywhere has no interval, not one of no width and a p of 0."""
    assert math.isnan(two_way(np.full((7, 3), 0.1), 0.95).p)
    assert math.isnan(plain(np.full(7, 0.1), 0.95).p)
    assert adjusted(np.full(9, 1e-17), 0.95).high == pytest.approx(adjusted(np.zeros(9), 0.95).high)


def test_a_fall_by_just_the_margin_is_not_a_fall_by_more():
    assert noninferiority_test(np.full(7, 0.1 - 0.3), 0.2, 0.05)[2] == 1
