"""Tests against scipy, statsmodels and enumeration."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.stats.contingency_tables import mcnemar as reference_mcnemar
from statsmodels.stats.multitest import multipletests

from spillover.stats.significance import (
    corrected,
    mcnemar,
    mcnemar_mid,
    noninferiority_test,
    sign_flip_test,
    tango_interval,
    tango_statistic,
)


@pytest.mark.parametrize(("gained", "lost"), [(0, 0), (5, 0), (3, 9), (20, 20), (40, 22)])
def test_mcnemar_equals_statsmodels(gained, lost):
    expected = 1.0 if gained + lost == 0 else reference_mcnemar([[10, gained], [lost, 10]], exact=True).pvalue
    assert mcnemar(gained, lost) == pytest.approx(expected)


@given(st.integers(0, 60), st.integers(0, 60))
def test_mid_p_is_symmetric_and_below_the_exact_one(gained, lost):
    assert 0 <= mcnemar_mid(gained, lost) <= mcnemar(gained, lost) <= 1
    assert mcnemar_mid(gained, lost) == mcnemar_mid(lost, gained)


@given(st.lists(st.sampled_from([-1.0, -2 / 3, -0.5, 0.0, 1 / 3, 0.5, 1.0]), min_size=2, max_size=9))
def test_the_sign_flip_test_enumerates_all_exchanges(parts):
    values = np.array(parts)
    sums = np.abs([(np.array(signs) * values).sum() for signs in product((-1, 1), repeat=len(values))])
    own = abs(values.sum())
    exact, mid = sign_flip_test(values)
    assert exact == pytest.approx((sums >= own - 1e-9).mean())
    ties = (np.abs(sums - own) < 1e-9).mean()
    assert mid == pytest.approx(1.0 if own < 1e-9 else (sums > own + 1e-9).mean() + ties / 2)


def test_the_sign_flip_test_is_mcnemars_without_ties():
    assert sign_flip_test(np.repeat([1.0, -1.0, 0.0], [9, 3, 20])) == (mcnemar(9, 3), mcnemar_mid(9, 3))
    assert sign_flip_test(np.zeros(5)) == (1, 1)
    assert math.isnan(sign_flip_test(np.ones(1))[0])
    halves = np.repeat([0.5, -0.5], 20)  # as many up as down: nothing happened
    assert sign_flip_test(halves) == (1, 1)


@pytest.mark.parametrize(("name", "method"), [("holm", "holm"), ("fdr_bh", "fdr_bh")])
def test_corrections_equal_statsmodels_and_leave_nan(name, method):
    values = np.array([0.001, np.nan, 0.04, 0.03, 0.2])
    found = corrected(values, name)
    np.testing.assert_allclose(found[~np.isnan(values)], multipletests(values[~np.isnan(values)], method=method)[1])
    assert math.isnan(found[1])


@given(st.integers(0, 30), st.integers(0, 30), st.integers(1, 200))
def test_tangos_interval_ends_where_his_test_rejects(gained, lost, same):
    n = gained + lost + same
    low, high = tango_interval(gained, lost, n, 0.95)
    assert -1 <= low <= (gained - lost) / n <= high <= 1
    for end in (low, high):
        if abs(end) < 1:
            assert abs(tango_statistic(gained, lost, n, end)) == pytest.approx(1.959964, abs=1e-4)
    assert tango_statistic(gained, lost, n, 0.0) == pytest.approx((gained - lost) / math.sqrt(max(gained + lost, 1)))


def test_without_flipped_items_a_loss_is_excluded_by_the_number_of_items():
    assert tango_statistic(0, 0, 100, -0.02) == pytest.approx(math.sqrt(100 * 0.02 / 0.98))
    assert tango_interval(0, 0, 100, 0.95)[0] < -0.02 < tango_interval(0, 0, 250, 0.95)[0]


def test_a_fall_by_just_the_margin_is_not_a_fall_by_more():
    for n in range(2, 60):  # the mean of some of them is below -0.2 in its last digit
        assert noninferiority_test(np.full(n, -0.2), 0.2, 0.05)[2] == 1, n
