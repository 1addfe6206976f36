"""Logs of inspect_ai, as .json and as .eval: errors, missing scores, epochs with their reducers, several scorers."""

from __future__ import annotations

import json
import zipfile

import pytest

from spillover.core.errors import DataError
from spillover.stages.compare.inspect_logs import inspect_scores, read_inspect_log


def logged(tool_logs, name, metric=None):
    return inspect_scores(read_inspect_log(tool_logs / "inspect-ai" / name), "de", metric)


def json_log(path, samples, **more):
    path.write_text(
        json.dumps({"status": "success", "eval": {"task": "own/arc_de", "model": "m"}, "samples": samples} | more)
    )
    return path


def sample(item, value, epoch=1, **more):
    return {"id": item, "epoch": epoch, "input": f"question {item}", "scores": {"match": {"value": value}}} | more


@pytest.mark.parametrize("kind", ["json", "eval"])
def test_errored_samples_are_named_and_left_out(tool_logs, kind):
    before, after = (logged(tool_logs, f"{side}/polarity.{kind}") for side in ("before", "after"))
    assert before.notes == ()
    assert after.notes == ("2 of 20 samples ended in an error and are left out: 4, 17",)
    assert len(before.scores.example_ids) == 20
    assert set(before.scores.example_ids) - set(after.scores.example_ids) == {"4", "17"}
    # Samples 2, 5, 8, ... are wrong before, and 4, 9, 14, 19 after, of which 4 failed.
    assert before.scores.outcome.tolist() == [float((i + 1) % 3 > 0) for i in range(1, 21)]
    assert after.scores.outcome.mean() == pytest.approx(15 / 18)


def test_one_log_as_json_and_as_eval_is_the_same(tool_logs):
    for side in ("before", "after"):
        left, right = (logged(tool_logs, f"{side}/polarity.{kind}").scores for kind in ("json", "eval"))
        assert left.example_ids == right.example_ids
        assert left.outcome.tolist() == right.outcome.tolist()
        assert left.content == right.content
        assert all(left.content)
    # Two runs of one task: the messages have other ids, and are the same items.
    first, second = (logged(tool_logs, f"{side}/polarity.eval").scores for side in ("before", "after"))
    assert set(second.content) < set(first.content)


def test_a_sample_that_the_scorer_left_open_has_no_score(tool_logs):
    found = logged(tool_logs, "unscored.json")
    assert found.notes == ("1 of 20 samples has no yes_or_no and is left out: 3",)
    assert "3" not in found.scores.example_ids


@pytest.mark.parametrize(
    ("metric", "outcomes"),
    [
        (None, [0, 1, 0, 1, 0, 1, 0, 1]),
        ("includes,mode", [0, 1, 0, 1, 0, 1, 0, 1]),
        ("includes,mean", [1 / 3, 2 / 3, 1 / 3, 2 / 3, 0, 2 / 3, 1 / 3, 2 / 3]),
        ("includes,at_least_2", [0, 1, 0, 1, 0, 1, 0, 1]),
        ("includes,pass_at_2", [2 / 3, 1, 2 / 3, 1, 0, 1, 2 / 3, 1]),
    ],
)
def test_the_logs_own_reduction_over_epochs_counts(tool_logs, metric, outcomes):
    found = logged(tool_logs, "epochs.eval", metric)
    assert found.scores.outcome.tolist() == pytest.approx(outcomes)
    assert found.notes[0].startswith(f"by {metric or 'includes,mode'}; the log also has includes,")
    assert found.notes[1] == "1 of 24 samples ended in an error, and the log scores the item: 5"


def test_without_reductions_the_mean_over_epochs_counts_and_is_said(tmp_path):
    samples = [sample("a", "C"), sample("b", "I"), sample("a", 1.0, 2), sample("b", 1.0, 2), sample("c", None)]
    found = inspect_scores(read_inspect_log(json_log(tmp_path / "a.json", samples)), "de", None)
    assert dict(zip(found.scores.example_ids, found.scores.outcome, strict=True)) == {"a": 1.0, "b": 0.5}
    assert found.notes == (
        "the log holds no reductions: each item counts by the mean over its epochs",
        "1 of 5 samples has no match and is left out: c",
    )


def test_several_scorers_and_the_keys_of_one_are_scores(tool_logs):
    found = logged(tool_logs, "scorers.eval")
    assert found.metric == "match"
    assert found.notes == (
        "by match; the log also has includes, form_and_content/form, form_and_content/content (--metric includes)",
    )
    means = {
        name: logged(tool_logs, "scorers.eval", name).scores.outcome.mean()
        for name in ("match", "includes", "form_and_content/form", "form_and_content/content")
    }
    assert means == pytest.approx(
        {"match": 0.35, "includes": 0.65, "form_and_content/form": 0.7, "form_and_content/content": 0.65}
    )


def test_a_run_that_did_not_end_well_is_refused(tool_logs, tmp_path):
    with pytest.raises(
        DataError, match=r"stopped\.eval: the run did not end well, its status is 'error' \(`inspect eval-retry"
    ):
        logged(tool_logs, "stopped.eval")
    for status in ("started", "cancelled"):
        path = json_log(tmp_path / "a.json", [sample(1, "C")], status=status)
        with pytest.raises(DataError, match=f"its status is '{status}'"):
            read_inspect_log(path)
    # A run in progress has no header yet.
    whole = tool_logs / "inspect-ai" / "stopped.eval"
    with zipfile.ZipFile(whole) as archive:
        [start] = [info for info in archive.infolist() if info.filename == "_journal/start.json"]
    with zipfile.ZipFile(tmp_path / "a.eval", "w") as archive:
        archive.writestr(start.filename, "{}")
    with pytest.raises(DataError, match=r"a\.eval: the run has not ended \(`inspect eval-retry LOG` completes it\)"):
        read_inspect_log(tmp_path / "a.eval")
    with zipfile.ZipFile(tmp_path / "b.eval", "w") as archive:
        archive.writestr("something.json", "{}")
    with pytest.raises(DataError, match=r"b\.eval: not an inspect_ai log"):
        read_inspect_log(tmp_path / "b.eval")


@pytest.mark.parametrize(
    ("log", "message"),
    [
        ([], "not an inspect_ai log"),
        ({"eval": 5}, "not an inspect_ai log"),
        ({"samples": 5}, "no samples found"),
        ({"samples": [5]}, "a sample without an id"),
        ({"samples": [sample(1, "C")], "reductions": [{"scorer": "match"}]}, "its reductions cannot be read"),
        ({"samples": [sample(1, "C")], "reductions": 5}, "its reductions cannot be read"),
    ],
)
def test_what_is_no_log_is_named(tmp_path, log, message):
    path = tmp_path / "a.json"
    path.write_text(json.dumps({"eval": {"task": "x"}} | log if isinstance(log, dict) else log))
    with pytest.raises(DataError, match=f"a.json: {message}"):
        read_inspect_log(path)


def test_samples_without_any_score(tmp_path):
    path = json_log(tmp_path / "a.json", [sample(1, None, scores=None), sample(2, None, scores={})])
    with pytest.raises(DataError, match="no score between 0 and 1, of none"):
        inspect_scores(read_inspect_log(path), "de", None)
