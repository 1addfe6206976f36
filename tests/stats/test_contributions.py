"""Each item's contribution to a change."""

from __future__ import annotations

import numpy as np
import pytest

from spillover.core.types import Evaluation, ModelRef
from spillover.stages.compare import compare
from spillover.stats.contributions import contributions_of
from spillover.stats.resampling import weighted_measures
from spillover.stats.summary import auroc, calibrated_hits
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


def test_near_certainty_the_change_in_auroc_has_no_ties_made_by_rounding():
    """Leads of about 40 nats: normalised log-probabilities of the first label are all 0, log-odds keep the order."""
    gold = np.array([0, 0, 1, 1])
    before, after = (
        table(np.stack([np.zeros(4), -np.array(leads, dtype=float)], axis=1), gold)
        for leads in ([39, 42, 41, 40], [42, 41, 40, 39])
    )
    assert (auroc(before), auroc(after)) == (0.5, 1)
    assert contributions_of(before, after)["auroc"].mean() == pytest.approx(0.5)
    assert weighted_measures(after, np.ones((1, 4)), "batch")["auroc"][0] == 1


def test_from_the_calibrated_model_the_change_in_accuracy_starts_at_its_calibrated_accuracy():
    rng = np.random.default_rng(3)
    gold = np.arange(80) % 2
    before, after = (table(rng.normal([bias - 3, -3], 1, (80, 2)), gold) for bias in (2, 0.5))
    plain, calibrated = (contributions_of(before, after, calibrated_before=value) for value in (False, True))
    assert calibrated["accuracy"].mean() == pytest.approx(after.hits().mean() - calibrated_hits(before).mean())
    assert abs(calibrated["accuracy"].mean() - plain["accuracy"].mean()) > 0.01
    for metric in ("calibrated_accuracy", "auroc"):
        assert (calibrated[metric] == plain[metric]).all()
