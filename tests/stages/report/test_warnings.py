"""Warnings: what changes how the numbers below are to be read."""

from __future__ import annotations

import pytest

from spillover.stages.compare import compare
from spillover.stages.report.warnings import warnings
from tests.stages.compare.builders import QUICK, planted_sides


@pytest.mark.parametrize(("gaps", "priors", "fell"), [((2.4, 1.4), (2.4, 0), True), ((1.5, 2.4), (0, 0), False)])
def test_a_fall_of_the_reference_languages_auroc_is_a_warning_though_its_accuracy_held(gaps, priors, fell):
    found = compare(*planted_sides(gaps, priors), seen=["de"], config=QUICK)
    assert found.guard.held
    told = [one.text for one in warnings(found, (), None, ())]
    assert any(text.startswith("English's AUROC fell, -0.") for text in told) == fell
    assert not any("fell by" in text for text in told)
