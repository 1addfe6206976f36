"""The real lm-evaluation-harness on exported tasks: the same text to the last character, the same log-probabilities."""

from __future__ import annotations

import json

import numpy as np
import pytest

from spillover.core.config import EvaluateConfig
from spillover.models.load import load_model
from spillover.stages.compare.external_logs import read_log_and_run, read_logs
from spillover.stages.compare.stage import compare
from spillover.stages.evaluate.stage import evaluate
from spillover.tasks.benchmark import open_benchmark
from tests.builders import kind_task, save_model, write_rows
from tests.harness import PYTHON, run_harness

pytestmark = [
    pytest.mark.lm_eval,
    pytest.mark.slow,
    pytest.mark.skipif(not PYTHON.exists(), reason="make .venv-lm-eval/.installed"),
]
HOSTILE = [
    "{{ 7 * 7 }} {% raw %} {{ review }} {# gone #}",
    "!function os.system \"quoted\" 'quoted' `x` \\n \\u0041",
    "two\nlines: - a\n\n\ttab, & and *alias",
    "no break \u2028 separator \x85 next, \ufeff, \u200b",
    "日本語 ไทย हिन्दी \U0001f600 e\u0301",
    "12",
    "2020-01-01",
    "null",
]
DATES = [("2020-01-01", "1999-12-31"), ("2020-01-02", "2020-01-03 10:00:00"), ("{{x}}", "12")]


@pytest.fixture(scope="module")
def logged(tmp_path_factory):
    """(logs by task, benchmarks by task, folder of the model)."""
    folder = tmp_path_factory.mktemp("lm-eval")
    for code in ("en", "de"):
        rows = [
            {"id": f"r{i}", "review": f"{text} {code}", "label": ("positive", "negative")[i % 2]}
            for i, text in enumerate(HOSTILE)
        ]
        write_rows(folder / "data" / "sentiment" / "test" / f"{code}.jsonl", rows)
        rows = [
            {"id": f"d{i}", "passage": f"{code} {HOSTILE[i]}", "question": "?", "choices": list(dates), "label": i % 2}
            for i, dates in enumerate(DATES[:2])
        ]
        write_rows(folder / "data" / "reading" / "test" / f"{code}.jsonl", rows)
        write_rows(
            folder / "data" / "agreement" / "test" / f"{code}.jsonl",
            [{"id": f"p{i}", "choices": list(dates), "label": i % 2} for i, dates in enumerate(DATES)],
        )
    sources = {"sentiment": "sentiment", "reading": kind_task("reading"), "agreement": kind_task("agreement")}
    benchmarks = {name: open_benchmark(source, data=str(folder / "data")) for name, source in sources.items()}
    model = save_model(folder / "model")
    return run_harness(list(benchmarks.values()), model, folder), benchmarks, model


@pytest.mark.parametrize("task", ["sentiment", "reading", "agreement"])
def test_log_likelihoods_are_those_of_evaluate(task, logged):
    logs, benchmarks, model = logged
    ours = evaluate(load_model(str(model), dtype="float32", device="cpu"), benchmarks[task])
    (theirs,) = read_logs(logs[task])
    assert theirs.task == task
    assert set(theirs.scores) == set(ours.scores)
    for code, scores in ours.scores.items():
        assert theirs.scores[code].example_ids == scores.example_ids
        assert theirs.scores[code].content == scores.content
        np.testing.assert_array_equal(theirs.scores[code].gold, scores.gold)
        np.testing.assert_allclose(theirs.scores[code].logprobs, scores.logprobs, atol=1e-4, rtol=0)
        if scores.answer_bytes is not None:
            np.testing.assert_array_equal(theirs.scores[code].answer_bytes, scores.answer_bytes)
    comparison = compare(ours, theirs)
    assert comparison.languages["accuracy_delta"].abs().max() == 0


@pytest.mark.parametrize("task", ["sentiment", "reading", "agreement"])
def test_the_model_reads_our_text_to_the_last_character(task, logged):
    logs, benchmarks, _ = logged
    config = EvaluateConfig()
    for code, prompts in benchmarks[task].prompts(config.labels, config.shots).items():
        (path,) = logs[task].glob(f"samples_spillover_{task}_{code}_2*.jsonl")
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]
        asked = [
            [tuple(call.values()) if isinstance(call, dict) else tuple(call) for call in _calls(row["arguments"])]
            for row in sorted(rows, key=lambda row: row["doc_id"])
        ]
        assert asked == [[(prompt.text, answer) for answer in prompt.answers] for prompt in prompts]


def _calls(arguments):
    return arguments.values() if isinstance(arguments, dict) else arguments


def test_the_log_is_a_side_of_a_comparison_with_a_run(logged, tmp_path):
    logs, benchmarks, _ = logged
    other = save_model(tmp_path / "other", seed=1)
    evaluate(load_model(str(other), dtype="float32", device="cpu"), benchmarks["reading"], out=tmp_path / "run")
    ((log, run),) = read_log_and_run(logs["reading"], tmp_path / "run", names=("base", "base"))
    comparison = compare(log, run)
    assert comparison.languages["n"].tolist() == [2, 2]
    assert comparison.label_set == "choices"
