"""Choices and pairs through evaluate, table and summary."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest

from spillover.cli import main
from spillover.core.config import EvaluateConfig
from spillover.core.errors import ConfigError
from spillover.models.local import LocalEngine
from spillover.stages.evaluate.score_tables import read_evaluation, read_texts
from spillover.stages.evaluate.stage import evaluate
from spillover.stats.summary import summarise, summarise_language
from spillover.tasks.benchmark import open_benchmark
from tests.builders import KIND_DATA, kind_task, table


def run_evaluate(model, task, out=None, **config):
    benchmark = open_benchmark(kind_task(task), data=KIND_DATA)
    return evaluate(model, benchmark, out=out, config=EvaluateConfig(batch_tokens=64, **config))


@pytest.mark.parametrize("task", ["reading", "agreement"])
def test_tables_say_what_was_returned(task, tiny, tmp_path):
    evaluation = run_evaluate(tiny, task, tmp_path)
    again = read_evaluation(tmp_path / "evaluate" / "base" / task)
    assert again.experiment == evaluation.experiment
    assert again.experiment.content_free == ()
    assert (again.label_set, again.key) == (evaluation.label_set, evaluation.key)
    assert list(again.scores) == ["en", "de", "es"]
    for code, scores in evaluation.scores.items():
        own = again.scores[code]
        assert (own.kind, own.length, own.clusters) == (scores.kind, scores.length, scores.clusters)
        for name in ("logprobs", "label_tokens", "answer_bytes", "gold"):
            np.testing.assert_array_equal(getattr(own, name), getattr(scores, name))
            assert getattr(own, name).dtype == getattr(scores, name).dtype
        assert own.calibration is None


def test_columns_of_a_table(tiny, tmp_path):
    run_evaluate(tiny, "agreement", tmp_path)
    path = tmp_path / "evaluate" / "base" / "agreement" / "en.parquet"
    assert pq.read_table(path).column_names == [
        "example_id", "gold", "logprob_0", "logprob_1", "tokens", "tokens_0", "tokens_1", "bytes_0", "bytes_1", "cluster",
        "content", "text",
    ]  # fmt: skip
    assert read_texts(path)["agreement-4"] == "0. I am waiting at the gate.\n1. I is waiting at the gate."


def test_tables_of_label_words_stay_as_they_are(tiny, tmp_path):
    run_evaluate(tiny, "letters", tmp_path)
    table = pq.read_table(tmp_path / "evaluate" / "base" / "letters" / "en.parquet")
    assert table.column_names == [
        "example_id", "gold", "logprob_A", "logprob_B", "tokens", "tokens_A", "tokens_B", "cluster", "content", "text"
    ]  # fmt: skip


def test_an_interrupted_evaluation_resumes_to_the_same_table(tiny, tmp_path, monkeypatch):
    run_evaluate(tiny, "reading", tmp_path / "whole")
    score, calls = LocalEngine._score, []

    def broken(self, plan, batch, **options):
        calls.append(batch)
        if len(calls) > 6:
            raise KeyboardInterrupt
        return score(self, plan, batch, **options)

    with monkeypatch.context() as patch:
        patch.setattr(LocalEngine, "_score", broken)
        with pytest.raises(KeyboardInterrupt):
            run_evaluate(tiny, "reading", tmp_path / "cut")
    assert list((tmp_path / "cut").rglob("*.batches.jsonl"))
    run_evaluate(tiny, "reading", tmp_path / "cut")
    tables = [
        {path.name: path.read_bytes() for path in (tmp_path / name / "evaluate").rglob("*.parquet")}
        for name in ("whole", "cut")
    ]
    assert tables[0] == tables[1]


def test_every_length_rule_is_in_the_summary_and_the_tasks_is_the_headline(tiny):
    evaluation = run_evaluate(tiny, "reading")
    scores = evaluation.scores["en"]
    there = scores.label_tokens > 0
    by_hand = {}
    for rule, lengths in (("sum", 1), ("token", scores.label_tokens), ("byte", scores.answer_bytes)):
        values = np.where(there, scores.logprobs / np.maximum(lengths, 1), -np.inf)
        by_hand[rule] = (values.argmax(axis=1) == scores.gold).mean()
    summary = summarise(evaluation)[0]
    assert summary.length == "byte"
    assert summary.accuracy_by_length == pytest.approx(by_hand)
    assert summary.accuracy == summary.accuracy_by_length["byte"]
    assert summarise(evaluation, length="sum")[0].accuracy == pytest.approx(by_hand["sum"])
    assert summary.chance == pytest.approx((1 / there.sum(axis=1)).mean())
    assert (summary.n, summary.clusters) == (8, 4)


def test_what_is_not_defined_says_why(tiny):
    for task in ("reading", "agreement"):
        for summary in summarise(run_evaluate(tiny, task)):
            assert np.isnan([summary.auroc, summary.calibrated_accuracy, summary.macro_f1]).all()
            assert summary.predicted == {}
            assert summary.reason.startswith(f"not defined for {'choices' if task == 'reading' else 'pairs'}: ")
    by_sum = summarise(run_evaluate(tiny, "agreement"))[0]
    assert 0 <= by_sum.ece <= 1


def test_letters_have_auroc_and_calibration(tiny):
    summary = summarise(run_evaluate(tiny, "letters"))[0]
    assert summary.reason == ""
    assert 0 <= summary.auroc <= 1
    assert (summary.n, summary.clusters, summary.chance) == (8, 4, 0.5)


def test_skill_is_told_from_chance():
    rng = np.random.default_rng(0)
    gold = rng.integers(0, 4, 200)
    plain = table(rng.normal(size=(200, 4)), gold, tuple("0123"))
    own = replace(plain, kind="choices", answer_bytes=plain.label_tokens)
    assert summarise_language(own).at_chance
    skilled = replace(own, logprobs=own.logprobs + np.eye(4, dtype=np.float32)[gold])
    assert not summarise_language(skilled).at_chance
    lumped = replace(skilled, clusters=tuple(f"c{i % 2}" for i in range(200)))
    assert summarise_language(lumped).clusters == 2


def test_the_papers_rule_is_refused(tiny):
    with pytest.raises(ConfigError, match="paper is not defined for pairs"):
        run_evaluate(tiny, "agreement", rule="paper")


def test_the_command_line_shows_the_rules_beside_each_other(tiny, tmp_path, capsys):
    def output_of(*arguments):
        with pytest.raises(SystemExit):
            main(["evaluate", "--scores", str(folder), *arguments])
        return capsys.readouterr().out

    run_evaluate(tiny, "reading", tmp_path)
    folder = tmp_path / "evaluate" / "base" / "reading"
    output = output_of()
    header, few = [line for line in output.splitlines() if "clusters" in line]
    assert header.split()[:6] == ["n", "clusters", "acc", "sum", "token", "chance"]
    assert few.startswith("- all languages: fewer than 10 clusters: ? and intervals are not to be")
    assert "acc: accuracy by mean per byte, %, the headline" in output
    assert "not defined for choices" in output
    rows = json.loads(output_of("--json"))
    assert set(rows[0]["accuracy_by_length"]) == {"sum", "token", "byte"}
