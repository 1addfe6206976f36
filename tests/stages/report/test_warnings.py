"""Warnings: what changes how the numbers below are to be read."""

from __future__ import annotations

import pytest

from spillover.stages.compare.paired import compare
from spillover.stages.report.warnings import warnings
from tests.stages.compare.test_headline import QUICK, sides


@pytest.mark.parametrize(("gaps", "priors", "fell"), [((2.4, 1.4), (2.4, 0), True), ((1.5, 2.4), (0, 0), False)])
def test_english_that_is_told_apart_worse_is_warned_of_though_its_accuracy_held(gaps, priors, fell):
    found = compare(*sides(gaps, priors), seen=["de"], config=QUICK)
    assert found.guard.held
    told = [one.text for one in warnings(found, (), None, ())]
    assert any(text.startswith("English's AUROC fell, -0.") for text in told) == fell
    assert not any("fell by" in text for text in told)
