"""One evaluation → a record of Every Eval Ever (github.com/evaleval/every_eval_ever) and a line for each sample.

1. For each language, accuracy with its interval, and what else is defined: the other length rules, AUROC, macro-F1,
   calibrated accuracy.
2. For each item, what was asked, what the model preferred, and every answer's log-probability. A sample belongs to one
   result: its language's accuracy.

What we do not know is left out, or said to be unknown: nobody's name is guessed.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from spillover.core.model_names import public_name
from spillover.core.types import OWN_TEXT, Evaluation, LabelScores, Relationship
from spillover.stats.calibration import rescaled
from spillover.stats.summary import LEVEL, Summary, accuracy_interval, summarise_language

SCHEMA_VERSION = "0.3.0"
UNKNOWN = "unknown"


@dataclass(frozen=True)
class EvaluationSource:
    """Where an evaluation comes from. run: the folder's name. versions: of packages, by name. data: by language, which
    data set the items are of, as the schema's `source_data`. texts: what was asked, by language and item. retrieved:
    when the record is made."""

    organization: str
    relationship: Relationship
    run: str
    name: str
    versions: Mapping[str, str]
    started: datetime
    retrieved: datetime
    data: Mapping[str, Mapping[str, Any]]
    texts: Mapping[str, Mapping[str, str]]


@dataclass(frozen=True)
class EvaluationRecord:
    """The record without its reference to the samples, and the samples. path: of the record's file, without suffix, as
    the public collection names it."""

    path: Path
    aggregate: Mapping[str, Any]
    samples: Sequence[Mapping[str, Any]]


def evaluation_record(evaluation: Evaluation, source: EvaluationSource) -> EvaluationRecord:
    """The record of one model on one task in all its languages."""
    developer, model = _model_id(evaluation)
    model_id = f"{developer}/{model}"
    evaluation_id = f"{evaluation.task}/{model_id}/{int(source.started.timestamp())}-{evaluation.key}"
    results: list[dict[str, Any]] = []
    samples: list[dict[str, Any]] = []
    for code, scores in evaluation.scores.items():
        of_language = list(_results(evaluation, scores, source, evaluation_id))
        results += of_language
        link = {
            "schema_version": SCHEMA_VERSION,
            "evaluation_id": evaluation_id,
            "model_id": model_id,
            "evaluation_name": of_language[0]["evaluation_name"],
            "evaluation_result_id": of_language[0]["evaluation_result_id"],
        }
        samples += [link | sample for sample in _samples(scores, source.texts.get(code, {}))]
    aggregate = {
        "schema_version": SCHEMA_VERSION,
        "evaluation_id": evaluation_id,
        "evaluation_timestamp": source.started.isoformat(),
        "retrieved_timestamp": str(int(source.retrieved.timestamp())),
        "source_metadata": {
            "source_name": "spillover",
            "source_type": "evaluation_run",
            "source_organization_name": source.organization,
            "evaluator_relationship": source.relationship,
            "additional_details": {"run": source.run, "evaluation": source.name},
        },
        "eval_library": {
            "name": "spillover",
            "version": source.versions.get("spillover", UNKNOWN),
            "additional_details": {key: value for key, value in source.versions.items() if key != "spillover"},
        },
        "model_info": _model_info(evaluation, source, model_id),
        "evaluation_results": results,
    }
    folder = Path("data", "spillover", _portable(developer), _portable(model))
    return EvaluationRecord(folder / _identifier(evaluation_id), aggregate, samples)


def _identifier(evaluation_id: str) -> str:
    """A UUID of version 4, as the schema asks, that is the same for the same evaluation."""
    return str(uuid.UUID(bytes=hashlib.sha256(evaluation_id.encode()).digest()[:16], version=4))


def _portable(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip(".-") or UNKNOWN


def _model_id(evaluation: Evaluation) -> tuple[str, str]:
    """(developer, model): those of a name such as `org/model`. What has no public name has an unknown developer, and so
    has a model with an adapter: other weights than its base's, distinguished by their fingerprint."""
    developer, _, model = public_name(evaluation.model.name).rpartition("/")
    if evaluation.model.adapter is not None:
        return UNKNOWN, f"{model}-{evaluation.model.fingerprint[:8]}"
    return developer if developer and "/" not in developer else UNKNOWN, model


def _model_info(evaluation: Evaluation, source: EvaluationSource, model_id: str) -> dict[str, Any]:
    reference, settings = evaluation.model, evaluation.experiment
    details = {
        "deployment_type": "self_deployed",
        "model_availability": UNKNOWN,
        "fingerprint": reference.fingerprint,
        "revision": reference.revision,
        "base_model": public_name(reference.name) if reference.adapter is not None else None,
        "adapter": Path(reference.adapter).name if reference.adapter is not None else None,
        "dtype": settings.dtype if settings else None,
        "tokenizer_hash": settings.vocabulary if settings else None,
    }
    developer, _, model = model_id.rpartition("/")
    return {
        "name": model,
        "id": model_id,
        "developer": developer,
        "inference_engine": {"name": "transformers", "version": source.versions.get("transformers", UNKNOWN)},
        "additional_details": _texts(details),
    }


def _texts(details: Mapping[str, object]) -> dict[str, str]:
    """What is known, as text: the schema takes nothing else."""
    return {key: str(value) for key, value in details.items() if value not in (None, "")}


def _results(
    evaluation: Evaluation, scores: LabelScores, source: EvaluationSource, evaluation_id: str
) -> Iterator[dict[str, Any]]:
    """The results of one language, the headline's accuracy first."""
    code = scores.language
    shared = {
        "evaluation_name": f"spillover.{evaluation.task}.{code}",
        "evaluation_timestamp": source.started.isoformat(),
        "source_data": source.data.get(code) or {"dataset_name": evaluation.task, "source_type": "other"},
        "generation_config": {"additional_details": _generation_config(evaluation, scores)},
    }
    for metric, value, interval in _values(scores, summarise_language(scores)):
        if math.isnan(value):  # not defined: a record has no place for the reason
            continue
        yield shared | {
            "evaluation_result_id": f"{evaluation_id}/{code}/{metric.id}",
            "metric_config": metric.config(),
            "score_details": _score_details(scores, value, interval),
        }


@dataclass(frozen=True)
class Metric:
    """A metric in [0, 1], of which more is better. parameters: such as the length rule."""

    id: str
    name: str
    kind: str
    parameters: Mapping[str, str]

    def config(self) -> dict[str, Any]:
        """As the schema has it."""
        return {
            "metric_id": self.id,
            "metric_name": self.name,
            "metric_kind": self.kind,
            "metric_unit": "proportion",
            "metric_parameters": dict(self.parameters),
            "lower_is_better": False,
            "score_type": "continuous",
            "min_score": 0.0,
            "max_score": 1.0,
        }


Interval = tuple[float, float, str]
"""(low, high, how it was made)."""


def _values(scores: LabelScores, summary: Summary) -> Iterator[tuple[Metric, float, Interval | None]]:
    """(metric, value, interval) of all that is defined."""
    rule = {"length": summary.length}
    low, high = accuracy_interval(rescaled(scores, summary.length))
    method = "adjusted Wald of the difference from chance" + ", by cluster" * bool(scores.clusters)
    yield Metric("accuracy", "Accuracy", "accuracy", rule), summary.accuracy, (low, high, method)
    for length, value in summary.accuracy_by_length.items():
        if length != summary.length:
            metric = Metric(f"spillover.accuracy_{length}", f"Accuracy, {length} rule", "accuracy", {"length": length})
            yield metric, value, None
    area = summary.auroc, (summary.auroc_low, summary.auroc_high, "DeLong, Hall")
    yield Metric("auroc", "AUROC, one against the rest", "auroc", rule), *area
    yield Metric("f1_macro", "Macro-F1", "f1", rule), summary.macro_f1, None
    calibration = rule | {"calibration": "batch"}
    name = "Accuracy after batch calibration"
    yield Metric("spillover.calibrated_accuracy", name, "accuracy", calibration), summary.calibrated_accuracy, None


def _generation_config(evaluation: Evaluation, scores: LabelScores) -> dict[str, str]:
    """Nothing was generated; what the scores depend on beside items and weights."""
    settings = evaluation.experiment
    details = {"method": "log-probability of each answer", "label_set": evaluation.label_set, "length": scores.length}
    if settings:
        details |= {
            "shots": settings.shots,
            "rule": settings.rule,
            "chat": settings.chat,
            "template_hash": settings.template,
            "wording_hash": settings.wording,
        }
        if settings.text != OWN_TEXT:
            details["text"] = settings.text
    return details


def _score_details(scores: LabelScores, value: float, interval: Interval | None) -> dict[str, Any]:
    uncertainty: dict[str, Any] = {"num_samples": len(scores.gold)}
    if interval is not None and not math.isnan(interval[0]):
        low, high, method = interval
        uncertainty["confidence_interval"] = {
            "lower": low, "upper": high, "confidence_level": LEVEL, "method": method
        }  # fmt: skip
    details = {"clusters": str(len(set(scores.clusters)))} if scores.clusters else {}
    return {"score": value, "uncertainty": uncertainty} | ({"details": details} if details else {})


def _samples(scores: LabelScores, texts: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    """A line for each item, under the task's length rule."""
    headline = rescaled(scores, scores.length)
    right, chosen = headline.hits(), headline.logprobs.argmax(axis=1)
    for i, example_id in enumerate(scores.example_ids):
        answers = [j for j in range(len(scores.labels)) if np.isfinite(scores.logprobs[i, j])]
        asked, reference = texts.get(example_id, ""), [scores.labels[scores.gold[i]]]
        prediction = scores.labels[chosen[i]]
        metadata = {"language": scores.language}
        metadata |= {f"logprob_{scores.labels[j]}": str(float(scores.logprobs[i, j])) for j in answers}
        metadata |= {"cluster": scores.clusters[i]} if scores.clusters else {}
        yield {
            "sample_id": example_id,
            "sample_hash": _sample_hash(asked, reference),
            "interaction_type": "single_turn",
            "input": {"raw": asked, "reference": reference, "choices": [scores.labels[j] for j in answers]},
            "output": {"raw": [prediction]},
            "answer_attribution": [
                {
                    "turn_idx": 0,
                    "source": "output.raw",
                    "extracted_value": prediction,
                    "extraction_method": "highest log-probability",
                    "is_terminal": True,
                }
            ],
            "evaluation": {"score": float(right[i]), "is_correct": bool(right[i] == 1)},
            "metadata": metadata,
        }


def _sample_hash(raw: str, reference: Sequence[str]) -> str:
    """As the project's own converters make it."""
    text = json.dumps({"raw": raw, "reference": list(reference)}, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
