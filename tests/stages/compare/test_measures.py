"""How each measure is written, when it is undefined, and what it can detect."""

from __future__ import annotations

import math

import numpy as np
import pytest

from spillover.stages.compare.measures import ACCURACY, AUROC, BY_METRIC, CALIBRATED, MEASURES
from spillover.stages.compare.pairing import changes_of, join
from spillover.stats.contributions import METRICS
from tests.builders import table
from tests.stages.compare.builders import clustered, own_answers, planted_sides


def test_every_measure_is_a_metric_of_the_tables():
    assert list(MEASURES) == ["accuracy", "calibrated", "auroc"]
    assert {*BY_METRIC, "prior_repair"} == set(METRICS)


def test_shares_are_written_in_percent_and_areas_with_three_places():
    assert ACCURACY.before_after(0.5, 0.5312) == "50.0 → 53.1 %"
    assert CALIBRATED.change_with_interval(0.031, 0.01, 0.052) == "+3.1 (+1.0 to +5.2)"
    assert CALIBRATED.size(0.05) == "5.0 points"
    assert AUROC.before_after(0.6124, 0.64) == "0.612 → 0.640"
    assert AUROC.change_with_interval(0.028, 0.0134, 0.0571) == "+0.028 (+0.013 to +0.057)"
    assert (AUROC.size(0.05), AUROC.size(1.2), AUROC.change(-0.0001)) == ("0.050", "over 1", "0.000")
    for measure in MEASURES.values():
        assert measure.value(math.nan) == measure.change(math.nan) == measure.span(math.nan, math.nan) == "–"


def test_where_a_measure_is_undefined_whatever_the_model_says():
    both = table(np.zeros((4, 2)), [0, 1, 0, 1])
    one_class = table(np.zeros((4, 2)), [0, 0, 0, 0])
    rare = table(np.zeros((4, 2)), [0, 0, 0, 1])
    choices = own_answers(np.random.default_rng(0)).scores["en"]
    assert not any(measure.reason_undefined(both, both) for measure in MEASURES.values())
    assert not any(ACCURACY.reason_undefined(side, side) for side in (one_class, rare, choices))
    assert "no item has the label b" in CALIBRATED.reason_undefined(one_class, one_class)
    assert not CALIBRATED.reason_undefined(rare, rare)
    assert "one item alone has the label b" in AUROC.reason_undefined(rare, rare)
    assert "not defined for choices" in AUROC.reason_undefined(choices, choices)


@pytest.mark.parametrize("measure", MEASURES.values(), ids=list(MEASURES))
def test_what_is_detectable_falls_with_the_root_of_the_items(measure):
    few, many = (changes_of(join(*planted_sides((1.5, 1.9), (0, 0), n=n))) for n in (400, 1600))
    sizes = [measure.minimum_detectable(changes, "de", alpha=0.05, power=0.8) for changes in (few, many)]
    assert sizes[0] / sizes[1] == pytest.approx(2, rel=0.2)


def test_of_clusters_what_is_detectable_comes_from_their_error():
    sides = planted_sides((1.5, 1.9), (0, 0), n=400)
    alone, together = (
        changes_of(join(*(clustered(side, [f"c{i // size}" for i in range(400)]) for side in sides)))
        for size in (1, 40)
    )
    assert together.n_clusters(["de"]) == 10
    for measure in MEASURES.values():
        one, ten = (measure.minimum_detectable(changes, "de", alpha=0.05, power=0.8) for changes in (alone, together))
        assert one != pytest.approx(ten, rel=0.01)
