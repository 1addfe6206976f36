"""Sample sizes against statsmodels, and the paper's published table."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.stats.power import zt_ind_solve_power

from spillover.stats.power import chance_bound, items_needed, minimum_detectable

# Mistral-7B, Amazon polarity, 500 items, % correct: arXiv 2405.13816, 20 languages from en to bn.
BASE = [89.2, 92.4, 91.8, 93.4, 94.2, 93.8, 93.6, 93.0, 93.2, 93.4, 87.6, 93.2, 91.6, 92.4, 91.8, 63.2, 81.6, 83.0, 58.0, 71.0]  # fmt: skip


ARMS = {
    "zh": [95.2, 94.8, 94.8, 95.2, 94.4, 94.4, 94.8, 94.4, 94.0, 95.4, 94.0, 94.0, 94.6, 92.2, 89.0, 84.0, 88.8, 88.4, 75.8, 81.0],
    "sw": [95.4, 93.4, 94.2, 94.4, 94.2, 94.4, 93.0, 93.6, 93.8, 94.8, 89.8, 92.6, 93.6, 93.4, 90.0, 72.0, 64.4, 51.4, 81.2, 54.0],
    "zh+es": [95.2, 95.0, 95.0, 95.0, 94.8, 92.8, 94.6, 95.0, 94.4, 94.8, 93.2, 93.6, 94.0, 93.0, 92.2, 81.2, 87.0, 84.8, 75.6, 75.4],
    "sw+hi": [95.4, 94.6, 94.4, 93.4, 93.4, 93.6, 93.6, 94.0, 93.8, 94.4, 89.2, 93.0, 93.2, 92.6, 90.0, 71.8, 89.8, 87.0, 77.6, 79.4],
}  # fmt: skip


@pytest.mark.parametrize("arm", list(ARMS))
def test_of_the_papers_twenty_changes_four_to_seven_clear_an_uncorrected_bound(arm):
    cleared = [
        abs(new - old) / 100 > chance_bound(old / 100, new / 100, 500) for old, new in zip(BASE, ARMS[arm], strict=True)
    ]
    assert 4 <= sum(cleared) <= 7


def test_items_needed_is_the_z_test_of_a_paired_difference():
    """With little change in the spread, the standardised effect is effect / sqrt(discordance)."""
    theirs = zt_ind_solve_power(0.01 / math.sqrt(0.2), alpha=0.05, power=0.8, ratio=0)
    assert items_needed(0.01, 0.2) == pytest.approx(theirs, rel=0.001)


@given(st.floats(0.01, 0.6), st.integers(200, 5000))
def test_items_needed_inverts_the_minimum_detectable_change(discordance, items):
    effect = minimum_detectable(items, discordance)
    assert 0 < effect < 1
    assert items_needed(effect, discordance) == pytest.approx(items, abs=2)


def test_few_items_detect_nothing():
    assert math.isnan(minimum_detectable(3, 0.5))
    assert math.isnan(minimum_detectable(0, 0.5))
    assert math.isnan(minimum_detectable(100, math.nan))
