"""Comparisons that several test files look at."""

from __future__ import annotations

import numpy as np
import pytest

from spillover.core.runs import open_run
from spillover.core.types import Evaluation, ModelRef
from spillover.stages.compare import compare
from spillover.stats.calibration import normalised
from tests.builders import table
from tests.stages.compare.builders import ITEMS, QUICK, probed_evaluation, write_probe


@pytest.fixture(scope="module")
def hard_tuning():
    """Accuracy rises since a strong label prior goes away, while the model discriminates less."""
    rng = np.random.default_rng(0)
    gold, noise = np.arange(500) % 2, rng.normal(size=500)
    sides = []
    for gap, prior in ((2.6, 2.4), (1.6, 0.0)):
        margin = np.where(gold == 0, gap / 2, -gap / 2) + noise + prior
        scores = table(normalised(np.stack([margin, 0 * margin], axis=1)), gold, ("positive", "negative"))
        sides.append(Evaluation(ModelRef("m", None, None, "k"), "sentiment", "english", "k", {"en": scores}))
    return compare(*sides, config=QUICK)


@pytest.fixture
def probed_sides(tmp_path):
    """(run, before, after): thirty items are newly correct in every language; those move closer, and their answer leads two
    layers earlier."""
    run = open_run(tmp_path / "run")
    rng = np.random.default_rng(0)
    before = np.zeros((3, ITEMS), dtype=bool)
    after = before.copy()
    after[:, :30] = True
    margins, noise = rng.normal(size=(3, ITEMS)), 0.1 * rng.normal(size=(3, ITEMS))
    leads = rng.integers(5, 20, (3, ITEMS)).astype(float)
    write_probe(run, "base", margins, margins > 0, leads=leads)
    write_probe(run, "tuned", margins + noise + after, margins > 0, leads=leads - 2 * after)
    return run, probed_evaluation(before), probed_evaluation(after)
