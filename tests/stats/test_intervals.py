"""Intervals against scipy and by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest, norm, t, ttest_1samp

from spillover.stats.clusters import cluster_contributions
from spillover.stats.contributions import LARGEST_CHANGE, METRICS, estimate
from spillover.stats.intervals import (
    Estimate,
    Standard,
    adjusted_wald,
    proportion_interval,
    skewness_adjusted,
    two_way,
    within,
)


@given(st.integers(0, 40), st.integers(0, 40), st.integers(1, 100))
def test_one_language_is_agresti_and_mins_interval(gained, lost, same):
    n = gained + lost + same
    parts = np.repeat([1.0, -1.0, 0.0], [gained, lost, same])
    b, c = (gained + 0.5) / (n + 2), (lost + 0.5) / (n + 2)
    half = 1.959964 * math.sqrt((b + c - (b - c) ** 2) / (n + 2))
    found = adjusted_wald(parts, 0.95)
    if n > 1:
        assert (found.low, found.high) == pytest.approx((b - c - half, b - c + half), abs=1e-6)
        assert (found.p < 0.05) == (found.low > 0 or found.high < 0)


@pytest.mark.parametrize("freedom", [None, 0.5, 1, 7, 1000.0])
def test_quantiles_and_shares_are_those_of_scipy(freedom):
    ours, theirs = Standard(freedom), norm if freedom is None else t(freedom)
    for value in (-40.0, -3.0, -0.5, 0.0, 1.0, 9.0, math.inf):
        assert (ours.cdf(value), ours.sf(value)) == (theirs.cdf(value), theirs.sf(value))
    for share in (1e-9, 0.025, 0.5, 0.8, 0.975):
        assert ours.ppf(share) == pytest.approx(theirs.ppf(share), rel=1e-12, abs=1e-12)
    assert math.isnan(ours.cdf(math.nan))


def test_adjusted_is_near_the_t_interval_where_that_is_good():
    values = np.random.default_rng(0).normal(0.1, 0.2, 400)
    theirs = ttest_1samp(values, 0).confidence_interval(0.95)
    found = adjusted_wald(values, 0.95)
    assert (found.low, found.high) == pytest.approx((theirs.low, theirs.high), abs=0.002)


def test_values_that_do_not_vary_have_no_interval():
    assert math.isnan(skewness_adjusted(np.full(9, 0.25), 0.95).low)
    assert math.isnan(adjusted_wald(np.array([1.0]), 0.95).low)
    assert math.isnan(two_way(np.ones((9, 1)), 0.95).low)
    assert skewness_adjusted(np.full(9, 0.25), 0.95).delta == 0.25


def test_equal_columns_add_no_error_and_different_columns_do():
    items = np.random.default_rng(0).normal(0, 1, 200)
    copies, apart = np.stack([items] * 5, axis=1), items[:, None] + np.array([-2, -1, 0, 1, 2])
    alone = items.std(ddof=1) / math.sqrt(200)
    assert two_way(copies, 0.95).error == pytest.approx(alone)
    assert two_way(apart, 0.95).error == pytest.approx(math.sqrt(alone**2 + 2.5 / 5))


@given(st.lists(st.floats(-1, 1), min_size=3, max_size=40), st.sampled_from([0.8, 0.95]))
def test_the_skewness_adjusted_interval_and_its_p_agree(parts, level):
    found = skewness_adjusted(np.array(parts), level)
    if not math.isnan(found.low):
        assert found.low < found.high
        assert (found.p < 1 - level) == (found.low > 0 or found.high < 0)


def test_the_skewness_adjusted_interval_is_normal_without_skewness_and_follows_the_long_tail():
    even = np.repeat([1.0, -1.0], 500) + 0.1
    change, half = skewness_adjusted(even, 0.95), norm.ppf(0.975) / math.sqrt(1000)
    assert (change.low, change.high) == pytest.approx((0.1 - half, 0.1 + half), abs=2e-4)
    long = np.repeat([0.0, 1.0], [95, 5])
    found = skewness_adjusted(long, 0.95)
    assert found.high - 0.05 > 0.05 - found.low


def test_rounding_is_not_spread():
    """Tenths have no exact sum: what is the same everywhere has no interval, not one of no width and a p of 0."""
    assert math.isnan(two_way(np.full((7, 3), 0.1), 0.95).p)
    assert math.isnan(skewness_adjusted(np.full(7, 0.1), 0.95).p)
    assert adjusted_wald(np.full(9, 1e-17), 0.95).high == pytest.approx(adjusted_wald(np.zeros(9), 0.95).high)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("n", [2, 3, 5, 8])
def test_no_interval_ends_beyond_what_can_be(metric, n):
    rng = np.random.default_rng(n)
    for share in (0.0, 0.1, 0.5, 0.9, 1.0):
        largest = LARGEST_CHANGE[metric]
        contributions = np.where(rng.random(n) < share, largest, -largest)
        change = estimate(contributions, metric, 0.99)
        if not np.isnan(change.low):
            assert -largest <= change.low <= change.delta <= change.high <= largest
    wide = Estimate(0.2, -3.0, 2.5, 1.0, 0.8)
    assert within(wide, 1.0) == Estimate(0.2, -1.0, 1.0, 1.0, 0.8)
    assert within(wide, 2.0) == Estimate(0.2, -2.0, 2.0, 1.0, 0.8)
    assert np.isnan(within(Estimate(0.2, math.nan, math.nan, math.nan, math.nan), 1.0).low)


@given(st.integers(0, 60), st.integers(0, 60))
def test_a_proportion_of_whole_hits_has_wilsons_interval(right, wrong):
    n = right + wrong
    low, high = proportion_interval(np.repeat([1.0, 0.0], [right, wrong]), 0.95)
    if n == 0:
        assert math.isnan(low)
        assert math.isnan(high)
        return
    wilson = binomtest(right, n).proportion_ci(0.95, "wilson")
    # A sample's variance has n - 1 where Wilson's has n.
    assert (low, high) == pytest.approx((wilson.low, wilson.high), abs=0.5 / n)


def test_a_proportion_of_clusters_is_less_certain_than_one_of_items():
    hits = np.repeat([1.0, 0.0, 1.0, 0.0, 1.0], 20)
    low, high = proportion_interval(hits, 0.95)
    wide_low, wide_high = proportion_interval(cluster_contributions(hits, np.arange(100) // 20), 0.95)
    assert wide_high - wide_low > 3 * (high - low)
    assert 0 <= wide_low < 0.6 < wide_high <= 1
