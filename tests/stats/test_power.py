"""Sample sizes against statsmodels, and the paper's published table."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm
from statsmodels.stats.power import zt_ind_solve_power

from spillover.stats.auroc import auroc_influence
from spillover.stats.power import (
    area_deviation,
    chance_bound,
    items_needed,
    items_needed_mean,
    minimum_detectable,
    minimum_detectable_mean,
)

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


def test_the_spread_of_an_area_is_delongs_over_many_items():
    """Binormal scores, correlated within a label; three items in ten have the label."""
    rng, n, correlation = np.random.default_rng(0), 40_000, 0.6
    gold = (np.arange(n) % 10 < 3).astype(np.int64)
    shared, sides = rng.normal(size=n), []
    for area in (0.7, 0.8):
        own = math.sqrt(correlation) * shared + math.sqrt(1 - correlation) * rng.normal(size=n)
        scores = own + math.sqrt(2) * norm.ppf(area) * gold
        sides.append(auroc_influence(np.stack([-scores, scores], axis=1), gold)[1])
    measured = float(np.std(sides[1] - sides[0]))
    assert area_deviation(0.7, 0.8, correlation=correlation, share=0.3) == pytest.approx(measured, rel=0.03)


def test_items_needed_for_a_mean_detect_what_was_asked_for():
    needed = items_needed_mean(0.05, 0.4)
    assert needed == math.ceil((2.8016 * 0.4 / 0.05) ** 2)
    assert minimum_detectable_mean(0.4 / math.sqrt(needed)) == pytest.approx(0.05, rel=0.01)


@given(st.floats(0.01, 0.6), st.integers(200, 5000))
def test_items_needed_inverts_the_minimum_detectable_change(discordance, items):
    effect = minimum_detectable(items, discordance)
    assert 0 < effect < 1
    assert items_needed(effect, discordance) == pytest.approx(items, abs=2)


def test_few_items_detect_nothing():
    assert math.isnan(minimum_detectable(3, 0.5))
    assert math.isnan(minimum_detectable(0, 0.5))
    assert math.isnan(minimum_detectable(100, math.nan))
