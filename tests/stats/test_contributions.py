"""Each item's contribution to a change."""

from __future__ import annotations

import numpy as np
import pytest

from spillover.core.types import Evaluation, ModelRef
from spillover.stages.compare import compare
from tests.builders import (
    table,
)
from tests.stages.compare.builders import (
    QUICK,
)


def test_the_two_components_add_up_to_the_change():
    rng = np.random.default_rng(3)
    gold = np.arange(90) % 3
    sides = [
        Evaluation(ModelRef("m", None, None, "x"), "t", "english", "x", {"en": table(rng.normal(-3, 1, (90, 3)) + bias, gold, ("a", "b", "c"))})
        for bias in (np.array([1, 0, 0]), np.zeros(3))
    ]  # fmt: skip
    row = compare(*sides, config=QUICK).languages.iloc[0]
    assert row["prior_repair_delta"] + row["calibrated_accuracy_delta"] == pytest.approx(row["accuracy_delta"])
