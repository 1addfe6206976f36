"""Logs of exported tasks, written by lm-evaluation-harness itself: tests/data/make_exported_logs.py."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

from spillover.core.config import CompareConfig
from spillover.core.errors import DataError
from spillover.core.runs import open_run
from spillover.core.types import Experiment
from spillover.stages.compare.exported_logs import exported_scores
from spillover.stages.compare.external_logs import read_log_and_run, read_log_pairs, read_logs
from spillover.stages.compare.pairing import join
from spillover.stages.compare.result import Topic
from spillover.stages.compare.stage import compare
from spillover.stages.evaluate.stage import evaluate
from spillover.stats.summary import summarise
from spillover.tasks.benchmark import open_benchmark
from spillover.tasks.harness_rows import harness_rows
from tests.builders import KIND_DATA, kind_task, make_model

KINDS = ["reading", "agreement"]


def opened(name, **options):
    return open_benchmark(kind_task(name), data=KIND_DATA, **options)


@pytest.fixture
def log(tool_logs, tmp_path):
    """A copy of the log of one task, to be changed."""
    return lambda name: shutil.copytree(tool_logs / "lm-eval-exported" / name, tmp_path / "logs" / name)


def rewrite(folder, change):
    for path in folder.glob("samples_*.jsonl"):
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]
        text = "".join(json.dumps(change(row)) + "\n" for row in rows)
        path.write_text(text, encoding="utf-8")


@pytest.mark.parametrize("name", KINDS)
def test_a_log_is_paired_with_our_evaluation_by_the_hash_of_the_text(name, log):
    (theirs,) = read_logs(log(name))
    ours = evaluate(make_model(seed=1), opened(name))
    assert (theirs.task, theirs.label_set) == (name, ours.label_set)
    for code, (left, right) in join(ours, theirs).items():
        assert left.example_ids == right.example_ids == ours.scores[code].example_ids
        assert left.content == right.content
        assert left.clusters == right.clusters != ()
        np.testing.assert_array_equal(left.answer_bytes, right.answer_bytes)
    assert compare(ours, theirs).about(Topic.NOTE)[0].text.startswith("Intervals and tests resample")


def test_ids_may_be_others_than_ours(log):
    folder = log("reading")

    def renamed(row):
        row["doc"]["spillover"]["id"] = f"other-{row['doc_id']}"
        return row

    rewrite(folder, renamed)
    (theirs,) = read_logs(folder)
    ours = evaluate(make_model(seed=1), opened("reading"))
    for code, (left, right) in join(ours, theirs).items():
        assert left.example_ids == right.example_ids == ours.scores[code].example_ids


def test_a_text_that_changed_since_is_refused(log):
    folder = log("reading")

    def changed(row):
        if row["doc"]["spillover"]["id"] == "reading-1":
            row["doc"]["spillover"]["content"] = "0" * 16
        return row

    rewrite(folder, changed)
    (theirs,) = read_logs(folder)
    with pytest.raises(DataError, match=r"1 of \d+ items have another text under the same id \(reading-1\)"):
        join(evaluate(make_model(seed=1), opened("reading")), theirs)


def test_labels_keep_their_ids_and_have_every_number(log):
    (theirs,) = read_logs(log("sentiment"))
    assert theirs.scores["de"].labels == ("positive", "negative")
    assert not any(np.isnan(summary.auroc) for summary in summarise(theirs))
    assert isinstance(theirs.experiment, Experiment)
    assert (theirs.experiment.chat, theirs.experiment.shots, theirs.experiment.dtype) == ("off", "own", "")


def test_answers_per_byte_follow_from_the_log_and_per_token_do_not(log):
    (theirs,) = read_logs(log("reading"))
    (summary, *_) = summarise(theirs)
    assert summary.length == "byte"
    assert np.isnan(summary.accuracy_by_length["token"])
    assert 0 < summary.chance < 0.5
    ours = evaluate(make_model(seed=1), opened("reading"))
    with pytest.raises(DataError, match="the log does not say how many tokens its answers have"):
        compare(ours, theirs, config=CompareConfig(length="token"))
    (lengths,) = compare(ours, theirs).about(Topic.LENGTHS)
    assert "per token" not in lengths.text
    assert "per byte" in lengths.text


def test_per_byte_is_what_the_harness_calls_acc_bytes(log):
    folder = log("reading")
    (theirs,) = read_logs(folder)
    by_language = {summary.language: summary.accuracy_by_length for summary in summarise(theirs)}
    for code, accuracies in by_language.items():
        (path,) = folder.glob(f"samples_spillover_reading_{code}_2*.jsonl")
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]
        logged = {metric: np.mean([row[metric] for row in rows]) for metric in ("acc", "acc_bytes")}
        assert logged == {"acc": accuracies["sum"], "acc_bytes": accuracies["byte"]}


def test_other_prompts_than_the_exported_ones_are_said(log):
    folder = log("reading")

    def chatted(row):
        first = next(iter(row["arguments"].values())) if isinstance(row["arguments"], dict) else row["arguments"][0]
        first["arg_0" if isinstance(first, dict) else 0] = "<user>" + row["doc"]["prompt"]
        return row

    rewrite(folder, chatted)
    (theirs,) = read_logs(folder)
    (note,) = [note for note in theirs.notes if "exported" in note]
    assert "prompts are not the exported ones: a chat template, or other shots" in note
    assert theirs.experiment.chat == ""


def test_scores_that_do_not_give_the_logged_acc_are_read_as_outcomes(log):
    folder = log("reading")
    rewrite(folder, lambda row: row | {"acc": 1.0 - row["acc"]})
    (theirs,) = read_logs(folder)
    assert all(scores.outcome is not None for scores in theirs.scores.values())
    assert any("do not give the logged acc" in note for note in theirs.notes)


def test_an_answer_without_a_finite_log_probability_is_no_label_score(log):
    folder = log("reading")

    def spoilt(row):
        row["filtered_resps"][0][0] = "nan"
        return row

    rewrite(folder, spoilt)
    (theirs,) = read_logs(folder)
    assert any("not all answers have a finite log-probability" in note for note in theirs.notes)


def test_a_file_of_two_tasks_is_refused(log):
    folder = log("reading")

    def mixed(row):
        if row["doc_id"] == 0:
            row["doc"]["spillover"]["task"] = "other"
        return row

    rewrite(folder, mixed)
    with pytest.raises(DataError, match="items of several tasks or languages"):
        read_logs(folder)


def test_a_file_of_exported_and_other_items_is_refused(log):
    folder = log("reading")
    rewrite(folder, lambda row: row | ({"doc": {"question": "?"}} if row["doc_id"] == 0 else {}))
    with pytest.raises(DataError, match=r"1 of \d+ samples are not of the exported task"):
        read_logs(folder)


def test_two_logs_of_one_exported_task_are_compared(log, tool_logs):
    ((before, after),) = read_log_pairs(log("reading"), tool_logs / "lm-eval-exported" / "reading")
    assert compare(before, after).languages["accuracy_delta"].abs().max() == 0


def test_a_log_and_a_run_are_the_two_sides(log, tmp_path):
    run = open_run(tmp_path / "run")
    evaluate(make_model(seed=1), opened("reading"), out=run.path, name="small")
    folder = log("reading")
    ((before, after),) = read_log_and_run(folder, run.path, names=("base", "small"))
    assert (before.model.name, after.model.name) == ("reading", "tiny")
    ((before, after),) = read_log_and_run(run.path, folder, names=("small", "tuned"))
    assert (before.model.name, after.model.name) == ("tiny", "reading")
    with pytest.raises(DataError, match=r"run has reading, .* has agreement") as caught:
        read_log_and_run(run.path, log("agreement"), names=("small", "tuned"))
    assert "spillover export lm-eval" in caught.value.hint


def test_an_answer_that_an_item_lacks_has_no_score():
    benchmark = opened("reading")
    rows = harness_rows(benchmark.task, benchmark.prompts("english", "own")["en"], label_set="", shots="own")
    logprobs = [[-float(i + 1) for i in range(len(row.choices))] for row in rows]
    scores = exported_scores(rows, logprobs)
    present = scores.answer_bytes > 0
    assert (np.isfinite(scores.logprobs) == present).all()
    assert present.sum(axis=1).tolist() == [len(row.choices) for row in rows]
