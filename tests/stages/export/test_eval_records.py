"""Records against the schemas of Every Eval Ever, see tests/data/every-eval-ever/."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path

import jsonschema
import numpy as np
import pytest

from spillover.core.runs import open_run
from spillover.core.types import Experiment, ModelRef
from spillover.stages.evaluate.stage import evaluate
from spillover.stages.export.eval_records import EvaluationSource, evaluation_record
from spillover.stages.export.stage import export_eee
from spillover.stats.summary import summarise_language
from spillover.tasks.benchmark import open_benchmark
from tests.builders import KIND_DATA, evaluation, kind_task

SCHEMAS = Path(__file__).parents[2] / "data" / "every-eval-ever"
NOW = datetime(2026, 1, 2, tzinfo=timezone.utc)
SOURCE = EvaluationSource("unknown", "other", "run", "base", {"spillover": "0.1", "torch": "2"}, NOW, NOW, {}, {})


def validator(name):
    return jsonschema.Draft7Validator(json.loads((SCHEMAS / name).read_text(encoding="utf-8")))


@pytest.mark.parametrize("task", ["reading", "agreement", "letters"])
def test_records_and_samples_follow_the_schemas(task, tmp_path, tiny):
    run = open_run(tmp_path / "run")
    ours = evaluate(tiny, open_benchmark(kind_task(task), data=KIND_DATA), out=run.path)
    (path,) = export_eee(run, tmp_path / "out", retrieved=NOW)
    record = json.loads(path.read_text(encoding="utf-8"))
    assert [error.message for error in validator("eval.schema.json").iter_errors(record)] == []
    lines = (tmp_path / "out" / record["detailed_evaluation_results"]["file_path"]).read_text(encoding="ascii")
    samples = [json.loads(line) for line in lines.splitlines()]
    of_samples = validator("instance_level_eval.schema.json")
    assert [error.message for sample in samples for error in of_samples.iter_errors(sample)] == []
    assert len(samples) == sum(len(scores.gold) for scores in ours.scores.values())
    assert path.parent == tmp_path / "out" / "data" / "spillover" / "unknown" / "tiny"


def test_the_schemas_refuse_what_is_wrong():
    record = dict(evaluation_record(evaluation({"en": [True, False]}), SOURCE).aggregate)
    assert not validator("eval.schema.json").is_valid(record | {"more": 1})
    record["evaluation_results"][0]["score_details"] = {}
    assert not validator("eval.schema.json").is_valid(record)


def test_numbers_are_those_of_the_summary():
    side = evaluation({"en": [True] * 7 + [False] * 3, "de": [True, False] * 5})
    results = evaluation_record(side, SOURCE).aggregate["evaluation_results"]
    scores = {result["evaluation_result_id"].rpartition("/")[0]: {} for result in results}
    for result in results:
        language, _, metric = result["evaluation_result_id"].rpartition("/")
        scores[language][metric] = result["score_details"]["score"]
    for own, of_language in zip(side.scores.values(), scores.values(), strict=True):
        summary = summarise_language(own)
        assert of_language == {
            "accuracy": summary.accuracy,
            "spillover.accuracy_token": summary.accuracy_by_length["token"],
            "auroc": summary.auroc,
            "f1_macro": summary.macro_f1,
            "spillover.calibrated_accuracy": summary.calibrated_accuracy,
        }
    accuracy = results[0]["score_details"]
    interval = accuracy["uncertainty"]["confidence_interval"]
    assert 0 < interval["lower"] < accuracy["score"] == 0.7 < interval["upper"] < 1
    assert accuracy["uncertainty"]["num_samples"] == 10


def test_every_sample_belongs_to_its_languages_accuracy():
    side = evaluation({"en": [True, False], "de": [True, True]})
    record = evaluation_record(side, SOURCE)
    accuracies = {
        result["evaluation_result_id"]: result["score_details"]["score"]
        for result in record.aggregate["evaluation_results"]
        if result["metric_config"]["metric_id"] == "accuracy"
    }
    by_result = {}
    for sample in record.samples:
        by_result.setdefault(sample["evaluation_result_id"], []).append(sample["evaluation"]["score"])
    assert {result: np.mean(scores) for result, scores in by_result.items()} == accuracies


def test_a_sample_says_what_was_preferred_and_how_clearly():
    side = evaluation({"en": [True, False]})
    source = replace(SOURCE, texts={"en": {"i0": "Question?"}})
    first, second = evaluation_record(side, source).samples
    assert first["input"] == {"raw": "Question?", "reference": ["a"], "choices": ["a", "b"]}
    assert first["output"] == {"raw": ["a"]}
    assert (first["evaluation"]["is_correct"], second["evaluation"]["is_correct"]) == (True, False)
    logprobs = side.scores["en"].logprobs[0].tolist()
    assert first["metadata"] == {"language": "en", "logprob_a": str(logprobs[0]), "logprob_b": str(logprobs[1])}
    text = '{"raw":"Question?","reference":["a"]}'
    assert first["sample_hash"] == hashlib.sha256(text.encode()).hexdigest()


def test_a_tie_is_no_right_answer():
    side = evaluation({"en": [True, True]})
    scores = replace(side.scores["en"], logprobs=np.full((2, 2), -1, np.float32))
    (first, _) = evaluation_record(replace(side, scores={"en": scores}), SOURCE).samples
    assert (
        first["evaluation"] == {"score": scores.hits()[0], "is_correct": False} == {"score": 0.5, "is_correct": False}
    )


def test_what_is_not_defined_is_left_out():
    side = evaluation({"en": [True, True]})
    scores = replace(side.scores["en"], gold=np.zeros(2, np.int64))
    results = evaluation_record(replace(side, scores={"en": scores}), SOURCE).aggregate["evaluation_results"]
    metrics = {result["metric_config"]["metric_id"] for result in results}
    assert metrics == {"accuracy", "spillover.accuracy_token", "f1_macro"}


@pytest.mark.parametrize(
    ("reference", "model_id", "folder"),
    [
        (ModelRef("org/model", "main", None, "abcdefghij"), "org/model", "data/spillover/org/model"),
        (ModelRef("smollm2-135m", None, None, "abcdefghij"), "unknown/smollm2-135m", "data/spillover/unknown/smollm2-135m"),
        (ModelRef("/home/me/my model", None, None, "abcdefghij"), "unknown/my model", "data/spillover/unknown/my-model"),
        (ModelRef("org/model", None, "/runs/x/train/adapter", "abcdefghij"), "unknown/model-abcdefgh", "data/spillover/unknown/model-abcdefgh"),
    ],
)  # fmt: skip
def test_a_model_has_its_public_name_and_no_path(reference, model_id, folder):
    record = evaluation_record(replace(evaluation({"en": [True, False]}), model=reference), SOURCE)
    assert record.aggregate["model_info"]["id"] == model_id
    assert record.path.parent.as_posix() == folder
    assert "/home" not in json.dumps(record.aggregate)
    assert "/runs" not in json.dumps(record.aggregate)
    if reference.adapter:
        assert record.aggregate["model_info"]["additional_details"]["base_model"] == "org/model"


def test_how_it_was_asked_is_part_of_the_record():
    settings = Experiment("w", "t", "native", "own", "exact", (), "float32", "v", "turns 1a2b")
    record = evaluation_record(replace(evaluation({"en": [True, False]}), experiment=settings), SOURCE).aggregate
    asked = record["evaluation_results"][0]["generation_config"]["additional_details"]
    assert (asked["shots"], asked["chat"], asked["template_hash"]) == ("own", "turns 1a2b", "t")
    assert record["model_info"]["additional_details"]["dtype"] == "float32"
    assert record["eval_library"] == {"name": "spillover", "version": "0.1", "additional_details": {"torch": "2"}}
