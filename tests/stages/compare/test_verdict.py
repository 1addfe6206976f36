"""The verdict: never a stronger word than the test allows, and every number in it is in the tables."""

from __future__ import annotations

import json
import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from spillover.stages.compare import compare
from spillover.stages.compare.verdict import outcome_of
from tests.builders import (
    evaluation,
    random_hits,
)
from tests.stages.compare.builders import (
    QUICK,
)


@given(st.floats(-1, 1), st.floats(0, 1), st.floats(0.001, 1))
def test_only_a_small_p_makes_a_claim(delta, p, least):
    found = outcome_of(delta, p, least, QUICK)
    assert (found in ("improved", "got worse")) == (p < 1 - QUICK.level)
    if found == "no evidence":
        assert least <= QUICK.effect


def test_no_test_is_undefined():
    assert outcome_of(math.nan, 0.01, 0.1, QUICK) == "undefined"
    assert outcome_of(0.1, math.nan, 0.1, QUICK) == "undefined"


def test_a_gain_by_label_bias_alone_is_called_so(hard_tuning):
    text = str(hard_tuning)
    assert "The gain is reduced label bias" in text
    assert "discriminates less, whatever accuracy says" in text
    assert "Accuracy alone misleads where it and AUROC moved in opposite directions: English" in text
    assert hard_tuning.verdict[0].numbers["answer"] == "no, accuracy rose while the model discriminates less"
    assert "discriminates better" not in text
    assert "English: " in text
    assert "Its AUROC fell, -0." in text
    assert any(reason.startswith("English's AUROC fell") for reason in hard_tuning.verdict[0].numbers["why"])


def test_few_items_are_underpowered():
    rng = np.random.default_rng(0)
    few = compare(
        evaluation({"en": random_hits(rng, 0.5, 24)}), evaluation({"en": random_hits(rng, 0.5, 24)}), config=QUICK
    )
    assert "underpowered" in few.verdict[1].text


def test_the_reported_numbers_are_in_the_sentences():
    rng = np.random.default_rng(0)
    left, right = (evaluation({code: random_hits(rng, share) for code in ("en", "de", "th")}) for share in (0.5, 0.6))
    found = compare(left, right, seen=["de"], config=QUICK)
    first = found.verdict[1]
    row = found.groups[(found.groups["group"] == "all") & (found.groups["metric"] == "accuracy")].iloc[0]
    assert first.numbers["low"] == row["low"]
    assert f"{100 * row['low']:+.1f}" in first.text
    assert {sentence.about for sentence in found.verdict} >= {"change", "languages", "split", "guard", "general"}
    assert json.dumps([sentence.numbers for sentence in found.verdict])
