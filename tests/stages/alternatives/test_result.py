from __future__ import annotations

import numpy as np

from spillover.stages.alternatives.table import alternatives_of
from tests.stages.alternatives.builders import scored_rows


def test_a_result_reads_as_its_verdict_and_knows_its_groups():
    result = alternatives_of(scored_rows(np.random.default_rng(0), n=60, tuned=0.5), seen=["de"])
    assert str(result) == result.verdict
    assert result.measure.title == "AUROC"
    assert result.reference_title == "calibrated base"
    assert list(result.of_group("seen")["row"]) == ["base", "calibrated", "tuned"]
