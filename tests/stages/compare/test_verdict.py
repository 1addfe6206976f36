"""Never a stronger word than the test allows; LaTeX that LaTeX can read; the page's hard-tuning story."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spillover.core.config import CompareConfig
from spillover.core.files import plain
from spillover.core.types import Evaluation, ModelRef
from spillover.stages.compare.latex import latex, to_latex
from spillover.stages.compare.paired import compare
from spillover.stages.compare.result import to_plain
from spillover.stages.compare.verdict import outcome_of
from spillover.stats.calibration import normalised
from tests.builders import table

CONFIG = CompareConfig(draws=50)


@given(st.floats(-1, 1), st.floats(0, 1), st.floats(0.001, 1))
def test_only_a_small_p_makes_a_claim(delta, p, least):
    found = outcome_of(delta, p, least, CONFIG)
    assert (found in ("improved", "got worse")) == (p < 1 - CONFIG.level)
    if found == "no evidence":
        assert least <= CONFIG.effect


def test_no_test_no_outcome_of():
    assert outcome_of(math.nan, 0.01, 0.1, CONFIG) == "undefined"
    assert outcome_of(0.1, math.nan, 0.1, CONFIG) == "undefined"


@pytest.fixture(scope="module")
def hard_tuning():
    """Accuracy rises since a strong label prior goes away, while the two labels are told apart less well."""
    rng = np.random.default_rng(0)
    gold, noise = np.arange(500) % 2, rng.normal(size=500)
    sides = []
    for gap, prior in ((2.6, 2.4), (1.6, 0.0)):
        margin = np.where(gold == 0, gap / 2, -gap / 2) + noise + prior
        scores = table(normalised(np.stack([margin, 0 * margin], axis=1)), gold, ("positive", "negative"))
        sides.append(Evaluation(ModelRef("m", None, None, "k"), "sentiment", "english", "k", {"en": scores}))
    return compare(*sides, config=CONFIG)


def test_a_gain_that_is_a_repaired_prior_is_called_so(hard_tuning):
    text = str(hard_tuning)
    assert "The gain is reduced label bias" in text
    assert "discriminates less than before" in text
    assert "Accuracy alone misleads where it and AUROC moved in opposite directions: English" in text
    assert hard_tuning.verdict[0].numbers["answer"] == "no, accuracy rose while the labels are told apart worse"
    assert "tells the labels apart better" not in text
    assert "English: " in text
    assert "Its AUROC fell, -0." in text
    assert any(reason.startswith("English's AUROC fell") for reason in hard_tuning.verdict[0].numbers["why"])


def test_latex_escapes_and_is_whole(hard_tuning):
    assert latex("a_b & 5 % {x} \\") == r"a\_b \& 5 \% \{x\} \textbackslash{}"
    text = to_latex(hard_tuning)
    rows = [line for line in text.splitlines() if line.endswith(r"\\")]
    assert {line.count(" & ") for line in rows} == {7}
    assert "nan" not in text
    assert text.count(r"\begin") == text.count(r"\end")


def test_json_holds_the_numbers_of_each_sentence(hard_tuning):
    found = plain(to_plain(hard_tuning))
    assert all(sentence["numbers"] for sentence in found["verdict"])
    assert found["guard"]["held"] in (True, False)
