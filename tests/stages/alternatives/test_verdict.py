from __future__ import annotations

import numpy as np
import pytest

from spillover.core.config import CompareConfig
from spillover.stages.alternatives.result import Need
from spillover.stages.alternatives.table import alternatives_of
from tests.stages.alternatives.builders import scored_rows


def result_of(*, n=300, seed=0, primary="auto", effect=0.05, **gains):
    rows = scored_rows(np.random.default_rng(seed), n=n, **gains)
    return alternatives_of(rows, config=CompareConfig(primary=primary, effect=effect))


def test_tuning_that_beats_all_is_said_to_by_its_smallest_difference():
    result = result_of(shots=0.6, vector=0.0, tuned=1.5)
    assert result.answer is Need.BEATS_EVERY
    assert result.verdict.startswith("Over all languages, by AUROC: tuning beats every free alternative by +0.")
    assert result.numbers["against"] == "shots"
    own = result.contrasts[(result.contrasts["metric"] == "auroc") & (result.contrasts["kind"] == "free")]
    assert result.numbers["delta"] == own["delta"].min()


def test_a_free_row_that_gives_more_than_tuning_is_named():
    result = result_of(shots=1.5, tuned=0.3)
    assert result.answer is Need.FREE_IS_BETTER
    assert "shots, which is free, gives more than tuning by +0." in result.verdict


def test_calibration_is_enough_where_the_difference_is_shown_to_be_small():
    result = result_of(tuned=0.0, primary="calibrated", n=2000)
    assert result.answer is Need.CALIBRATION_IS_ENOUGH
    assert "calibration alone gives what tuning gives, " in result.verdict
    assert "to within 5.0 points" in result.verdict
    assert result_of(tuned=0.0, primary="calibrated", n=2000, effect=0.001).answer is Need.NOT_SHOWN_TO_BEAT_EVERY


def test_few_items_tell_nothing_apart():
    result = result_of(shots=0.0, tuned=0.1, n=40)
    assert result.answer is Need.NOT_SHOWN_TO_BEAT_EVERY
    assert "tuning is not shown to beat base, calibrated, shots: " in result.verdict


def test_beating_the_base_is_not_enough_where_a_free_row_does_as_well():
    result = result_of(shots=1.5, tuned=1.5)
    assert result.answer is Need.NOT_SHOWN_TO_BEAT_EVERY
    assert "not shown to beat shots: " in result.verdict


@pytest.mark.parametrize(("placebo", "text"), [(1.5, "not shown to beat its placebo"), (0.0, "beats its placebo")])
def test_placebos_are_in_the_sentence(placebo, text):
    result = result_of(tuned=1.5, tuned_null=placebo)
    assert result.answer is Need.BEATS_EVERY
    assert f"{text} tuned_null." in result.verdict


def test_without_a_tuned_model_the_best_free_row_is_named_and_whether_it_beats_its_null():
    helps = result_of(shots=1.5, shots_null=0.0, vector=0.0)
    assert (helps.answer, helps.numbers["row"]) == (Need.FREE_HELPS, "shots")
    assert "shots beats the calibrated base by" in helps.verdict
    assert "and its nulls; no tuned model is in the table." in helps.verdict
    assert "not shown to beat its null shots_null" in result_of(shots=1.5, shots_null=1.5).verdict
    nothing = result_of(shots=0.0)
    assert nothing.answer is Need.NOTHING_SHOWN
    assert nothing.numbers == {}


def test_a_tuned_model_that_equals_the_base_cannot_be_tested():
    rows = scored_rows(np.random.default_rng(0), tuned=0.0)
    rows[2] = type(rows[2])(rows[2].row, rows[0].evaluation)
    result = alternatives_of(rows)
    assert result.answer is Need.UNTESTED
