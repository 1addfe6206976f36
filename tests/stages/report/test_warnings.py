"""Warnings: what changes how the numbers below are to be read."""

from __future__ import annotations

import pytest

from spillover.stages.compare import compare
from spillover.stages.report.warnings import warnings
from tests.stages.compare.builders import QUICK, planted_sides


@pytest.mark.parametrize(("gaps", "priors", "fell"), [((2.4, 1.4), (2.4, 0), True), ((1.5, 2.4), (0, 0), False)])
def test_a_loss_in_auroc_of_the_reference_language_is_warned_of_though_its_accuracy_held(gaps, priors, fell):
    comparison = compare(*planted_sides(gaps, priors), seen=["de"], config=QUICK)
    assert comparison.guard.held
    texts = [warning.text for warning in warnings(comparison, (), None, ())]
    assert any(text.startswith("English's AUROC fell, -0.") for text in texts) == fell
    assert not any("fell by" in text for text in texts)
