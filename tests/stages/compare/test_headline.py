"""Claim, answer and reasons: the answer is never stronger than its tests."""

from __future__ import annotations

import numpy as np
import pytest

from spillover.stages.compare import compare
from spillover.stages.compare.contrasts import TrainedRun
from spillover.stages.compare.stage import compare_arms
from tests.builders import (
    evaluation,
    random_hits,
)
from tests.stages.compare.builders import (
    QUICK,
    planted_sides,
)


def head(gaps, priors, **options):
    return compare(*planted_sides(gaps, priors, **options), seen=["de"], config=QUICK).verdict[0].numbers


@pytest.mark.parametrize(
    ("gaps", "priors", "answer"),
    [
        ((1.5, 2.4), (0, 0), "yes"),
        ((2.2, 2.2), (2, 0), "accuracy rose, but calibration alone would have given that"),
        ((2.4, 1.4), (2.4, 0), "no, accuracy rose while the model discriminates less"),
        ((2.4, 1.4), (0, 0), "no, it got worse"),
    ],
)
def test_the_answer_follows_what_was_planted(gaps, priors, answer):
    found = head(gaps, priors)
    assert found["answer"] == answer
    assert found["claim"] == "training on German improves sentiment in Thai"
    assert found["group"] == "unseen"


def test_no_change_is_not_shown_and_few_items_are_named():
    assert head((2, 2), (0, 0), n=4000)["answer"] == "not shown"
    found = head((2, 2), (0, 0), n=40)
    assert found["answer"] == "not shown, with too few items"
    assert any("minimum detectable" in reason for reason in found["why"])


def test_a_placebo_that_is_not_beaten_takes_the_yes_away():
    before, after = planted_sides((1.5, 2.4), (0, 0))
    placebo = planted_sides((1.5, 2.4), (0, 0), seed=1)[1]
    runs = [TrainedRun(name, name, "r", 0, ("de",), before, one) for name, one in (("real", after), ("copy", placebo))]
    found = compare_arms(runs, config=QUICK)
    assert found.verdict[0].numbers["answer"] == "improved, but not shown to beat a placebo"
    assert sum(sentence.about == "headline" for sentence in found.verdict) == 1
    weak = [runs[0], TrainedRun("copy", "copy", "r", 0, ("de",), before, before)]
    assert compare_arms(weak, config=QUICK).verdict[0].numbers["answer"] == "yes"


def test_a_loss_of_the_reference_language_is_a_reason():
    rng = np.random.default_rng(0)
    hits = {code: random_hits(rng, 0.6, 800) for code in ("en", "de", "th")}
    after = {code: own | (rng.random(800) < 0.4) for code, own in hits.items()} | {
        "en": hits["en"] & (rng.random(800) < 0.7)
    }
    found = compare(evaluation(hits), evaluation(after), seen=["de"], config=QUICK).verdict[0].numbers
    assert "English lost more than 2 points" in found["why"]


def test_with_seeds_the_pooled_test_answers():
    """One seed gains much, the others nothing: the first one alone would say yes."""
    before, good = planted_sides((1.5, 2.4), (0, 0))
    flat = [planted_sides((1.5, 1.5), (0, 0), seed=seed)[1] for seed in (1, 2)]
    runs = [TrainedRun(f"run{i}", "translate", "r", i, ("de",), before, after) for i, after in enumerate((good, *flat))]
    assert compare_arms(runs[:1], config=QUICK).verdict[0].numbers["answer"] == "yes"
    found = compare_arms(runs, config=QUICK).verdict[0].numbers
    assert found["answer"] == "not shown, with too few items"
    assert found["why"][0].startswith("over 3 seeds accuracy ")


def test_a_placebo_named_first_is_reported():
    before, after = planted_sides((1.5, 2.4), (0, 0))
    runs = [TrainedRun(arm, arm, arm, 0, ("de",), before, after) for arm in ("copy", "translate")]
    told = "the first run is the placebo copy: name the translate run first for the verdict on it"
    assert told in compare_arms(runs, config=QUICK).verdict[0].numbers["why"]
    assert told not in compare_arms(runs[::-1], config=QUICK).verdict[0].numbers["why"]
