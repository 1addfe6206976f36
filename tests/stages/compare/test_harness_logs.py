"""Samples of lm-evaluation-harness: what follows from the label scores is what the harness itself logged."""

from __future__ import annotations

import json

import numpy as np
import pytest

from spillover.core.errors import DataError
from spillover.stages.compare.harness_logs import read_harness_log
from tests.builders import write_rows

LABELS = {"norm": 2, "mutual": 2, "words": 2, "digits": 3, "own": 0}  # by the tasks of tests/data/make_harness_logs.py


def log_file(tool_logs, task, side="before"):
    [path] = (tool_logs / "lm-eval" / side).glob(f"samples_{task}_2*.jsonl")
    return path


def rows_of(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize("side", ["before", "after"])
@pytest.mark.parametrize("suffix", ["de", "eng_Latn"])
@pytest.mark.parametrize("task", LABELS)
def test_each_sample_scores_what_the_harness_logged(tool_logs, task, suffix, side):
    path = log_file(tool_logs, f"{task}_{suffix}", side)
    logged = read_harness_log(path, "de", None)
    assert logged.metric == "acc"
    assert len(logged.scores.labels) == LABELS[task]
    assert logged.scores.hits().tolist() == [row["acc"] for row in rows_of(path)]
    assert logged.scores.content == tuple(row["doc_hash"] for row in rows_of(path))


@pytest.mark.parametrize(
    ("task", "metric"), [("norm_de", "acc_norm"), ("mutual_de", "acc_mutual_info"), ("own_de", "acc_norm")]
)
def test_another_score_is_read_as_it_was_logged(tool_logs, task, metric):
    path = log_file(tool_logs, task, "after")
    rows = rows_of(path)
    assert [row["acc"] for row in rows] != [row[metric] for row in rows]
    logged = read_harness_log(path, "de", metric)
    assert logged.scores.outcome.tolist() == [row[metric] for row in rows]
    assert logged.notes == (f"by {metric}; the log also has acc (--metric acc)",)
    assert read_harness_log(path, "de", None).notes == (f"by acc; the log also has {metric} (--metric {metric})",)


def test_filters_are_scores_of_their_own(tool_logs):
    path = log_file(tool_logs, "generated_eng_Latn", "after")
    for wanted, name in ((None, "strict"), ("exact_match", "strict"), ("exact_match,flexible", "flexible")):
        logged = read_harness_log(path, "en", wanted)
        own = [row["exact_match"] for row in rows_of(path) if row["filter"] == name]
        assert logged.metric == f"exact_match,{name}"
        assert logged.scores.outcome.tolist() == own
    assert "the log also has exact_match,strict (--metric exact_match,strict)" in logged.notes[0]


def choice_row(doc, logprobs, target, acc, choices=("yes", "no"), **more):
    arguments = {f"gen_args_{i}": {"arg_0": "x", "arg_1": f" {choice}"} for i, choice in enumerate(choices)}
    return {
        "doc_id": doc, "target": target, "arguments": arguments, "filtered_resps": [[str(value), "False"] for value in logprobs],
        "filter": "none", "metrics": ["acc"], "acc": acc, **more,
    }  # fmt: skip


def test_labels_that_tie_count_as_in_the_harness(tmp_path):
    """Its argmax takes the first. The second pair ties after rounding to float32 alone."""
    rows = [
        choice_row(0, (-1.5, -1.5), "0", 1.0),
        choice_row(1, (-1.5, -1.5), "1", 0.0),
        choice_row(2, (-1.00000000001, -1.0), "1", 1.0),
        choice_row(3, (-2.0, -1.0), "0", 0.0),
    ]
    logged = read_harness_log(write_rows(tmp_path / "samples_x.jsonl", rows), "de", None)
    assert logged.scores.labels == ("yes", "no")
    assert logged.scores.hits().tolist() == [1, 0, 1, 0]
    np.testing.assert_allclose(logged.scores.logprobs[0], -1.5, rtol=1e-6)


@pytest.mark.parametrize(
    ("choices", "targets", "gold"),
    [("12", "12", [0, 1]), ("12", "10", [1, 0]), ("10", "10", [0, 1]), ("10", "10", [1, 0]), ("01", "01", [0, 1])],
)
def test_the_logged_acc_says_what_a_digit_means(tmp_path, choices, targets, gold):
    """Choices 1 and 0: is the target "1" the first choice, or the one with index 1?"""
    rows = [
        choice_row(i, (-1, -2) if gold[i] == 0 else (-2, -1), target, 1.0, choices=tuple(choices))
        for i, target in enumerate(targets)
    ]
    logged = read_harness_log(write_rows(tmp_path / "samples_x.jsonl", rows), "de", None)
    assert logged.scores.gold.tolist() == gold


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        ([choice_row(0, (-1, -2), "0", 1.0), choice_row(1, (-1, -2), "0", 0.0)], "in 1 of 2 items the labels' log-prob"),
        ([choice_row(0, (-1, -2), "0", 1.0), choice_row(1, (-1, -2), "[0, 1]", 1.0)], "in 2 of 2 items the labels' log-prob"),
        ([choice_row(0, (-1, "-inf"), "0", 1.0), choice_row(1, (-1, -2), "1", 0.0)], "not all log-probabilities of labels"),
        ([choice_row(0, (-1, "-1e300"), "0", 1.0), choice_row(1, (-1, -2), "1", 0.0)], "not all log-probabilities of labels"),
    ],
)  # fmt: skip
def test_the_logged_acc_counts_where_the_label_scores_do_not_give_it(tmp_path, rows, reason):
    logged = read_harness_log(write_rows(tmp_path / "samples_x.jsonl", rows), "de", None)
    assert logged.scores.outcome.tolist() == [row["acc"] for row in rows]
    [note] = logged.notes
    assert note.startswith(reason)
    assert note.endswith(": acc is read, without label scores")


def test_samples_without_the_score_are_named_and_left_out(tmp_path):
    rows = [choice_row(i, (-1, -2), str(i % 2), float(i % 2 == 0), doc_hash=f"h{i}") for i in range(5)]
    rows[1]["acc"] = float("nan")
    del rows[3]["acc"]
    logged = read_harness_log(write_rows(tmp_path / "samples_x.jsonl", rows), "de", None)
    assert logged.scores.example_ids == ("0", "2", "4")
    assert logged.scores.content == ("h0", "h2", "h4")
    assert logged.notes == ("2 of 5 samples have no acc and are left out: 1, 3",)
    with pytest.raises(DataError, match="no sample has f1"):
        rows = [row | {"metrics": ["acc", "f1"]} for row in rows]
        read_harness_log(write_rows(tmp_path / "samples_x.jsonl", rows), "de", "f1")


def test_what_is_no_sample_is_named_with_its_line(tmp_path):
    path = tmp_path / "samples_x.jsonl"
    good = choice_row(0, (-1, -2), "0", 1.0)
    for rows, message in (
        ([good, {"id": 1}], r"x\.jsonl:2: no doc_id"),
        ([good, good], r"x\.jsonl:2: duplicate doc_id 0, first on line 1"),
        ([good, choice_row(1, (-1, -2), "0", 7)], r"x\.jsonl:2: acc: 7 is not a score between 0 and 1"),
        ([{"doc_id": 0}], "no score between 0 and 1, of none"),
    ):
        with pytest.raises(DataError, match=message):
            read_harness_log(write_rows(path, rows), "de", None)


@pytest.mark.parametrize(
    "broken", [{"arguments": 5}, {"arguments": [["x"]]}, {"filtered_resps": [["x"], ["y"]]}, {"filtered_resps": None}]
)
def test_rows_without_choices_give_their_logged_score(tmp_path, broken):
    path = write_rows(tmp_path / "samples_x.jsonl", [choice_row(0, (-1, -2), "0", 1.0) | broken])
    assert read_harness_log(path, "de", None).scores.outcome.tolist() == [1.0]
