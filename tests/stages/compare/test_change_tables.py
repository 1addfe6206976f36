"""The tables of changes: intervals near the bootstrap's, ties, declared columns."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from spillover.core.config import CompareConfig
from spillover.stages.compare import compare
from tests.builders import (
    evaluation,
    random_evaluation,
    table,
)
from tests.stages.compare.builders import (
    QUICK,
)


def test_a_tie_is_no_lost_item():
    """After, every answer ties: an item that was right lost half a hit, one that was wrong gained half."""
    gold = np.arange(40) % 2
    right = evaluation({"en": np.arange(40) % 4 < 2})
    tied = replace(right, scores={"en": table(np.full((40, 2), -1.0), gold)})
    row = compare(right, tied, config=QUICK).languages.iloc[0]
    assert (row["gained"], row["lost"], row["accuracy_delta"]) == (20, 20, 0)
    assert row["holm_p"] == 1
    assert row["verdict"] == "underpowered"


def test_the_interval_of_auroc_is_near_the_bootstraps():
    sides = [random_evaluation(np.random.default_rng(seed), ["en", "de"], 300, ("a", "b", "c")) for seed in (0, 1)]
    found = compare(*sides, config=CompareConfig(draws=2000)).languages
    for side in ("low", "high"):
        np.testing.assert_allclose(found[f"auroc_{side}"], found[f"auroc_boot_{side}"], atol=0.012)
