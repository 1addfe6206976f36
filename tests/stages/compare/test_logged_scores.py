"""Which of a log's scores counts, and what is a score at all."""

from __future__ import annotations

import numpy as np
import pytest

from spillover.core.errors import ConfigError, DataError
from spillover.stages.compare.logged_scores import as_outcomes, chosen_score, notes_on_choice, outcomes_of
from tests.builders import table

COLUMNS = {
    "f1": {"0": [1, 0]},
    "acc_norm": {"0": 1.0},
    "acc": {"0": 0.0},
    "exact_match,strict": {"0": 0.0},
    "exact_match,flexible": {"0": 1.0},
}


@pytest.mark.parametrize(
    ("metric", "chosen"),
    [
        (None, "acc"),
        ("acc_norm", "acc_norm"),
        ("acc_norm,none", "acc_norm"),
        ("exact_match", "exact_match,strict"),
        ("exact_match,flexible", "exact_match,flexible"),
        ("f1", "f1"),
    ],
)
def test_one_score_is_chosen_by_name_or_by_a_fixed_order(tmp_path, metric, chosen):
    assert chosen_score(tmp_path, COLUMNS, metric) == chosen


def test_what_cannot_be_read_is_not_chosen_by_itself(tmp_path):
    assert chosen_score(tmp_path, {"acc": {"0": None}, "f1": {"0": [1, 0]}, "bleu": {"0": 0.3}}, None) == "bleu"
    with pytest.raises(DataError, match="no score between 0 and 1, of f1"):
        chosen_score(tmp_path, {"f1": {"0": [1, 0]}}, None)
    with pytest.raises(ConfigError, match=r"no score 'mcc' \(--metric takes f1, acc_norm, acc, exact_match,strict"):
        chosen_score(tmp_path, COLUMNS, "mcc")


def test_other_scores_are_never_ignored_in_silence():
    assert notes_on_choice("acc", {"acc": {}}) == ()
    assert notes_on_choice("acc", {"acc": {}, "acc_norm": {}, "f1": {}}) == (
        "by acc; the log also has acc_norm, f1 (--metric acc_norm)",
    )
    assert notes_on_choice("includes,mode", {"includes,mode": {}}) == ("by includes,mode",)


def test_words_and_numbers_are_scores_and_missing_ones_are_left_out():
    values = dict(enumerate(["C", "P", "I", "N", True, "yes", "No", "0.25", 0.5, None, float("nan"), "nan"]))
    outcomes = outcomes_of({str(i): value for i, value in values.items()}, lambda item: item)
    assert list(outcomes.values()) == [1.0, 0.5, 0.0, 0.0, 1.0, 1.0, 0.0, 0.25, 0.5]
    for bad in (7, "7", -0.1, [1, 0], {}, "good", float("inf")):
        with pytest.raises(DataError, match=r"log, sample 3: .* is not a score between 0 and 1"):
            outcomes_of({"3": bad}, lambda item: f"log, sample {item}")


def test_label_scores_become_outcomes():
    scores = as_outcomes(table([[-1, -2], [-2, -1], [-1, -1]], [0, 0, 0]))
    np.testing.assert_array_equal(scores.outcome, [1, 0, 0.5])
    assert (scores.labels, scores.logprobs.shape) == ((), (3, 0))
