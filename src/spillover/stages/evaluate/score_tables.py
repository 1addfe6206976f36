"""Scores on disk: one parquet table per language, one row per item, and in its metadata what it was made from."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from spillover.core.errors import DataError
from spillover.core.files import atomic
from spillover.core.languages import in_order
from spillover.core.types import CalibrationScores, Evaluation, Experiment, LabelScores, ModelRef

METADATA = b"spillover"


def write_scores(path: Path, scores: LabelScores, facts: Mapping[str, Any], texts: Sequence[str] | None = None) -> None:
    """Columns: example_id, gold (label id), logprob_<label>, tokens, tokens_<label>, and with `texts` also text, what
    was asked after the shots, so that a run folder shows its items by itself. Where items bring their own answers, the
    labels are these answers' numbers and there is bytes_<label> too; an answer that an item does not have has -inf, 0
    and 0. cluster: where items have one. `facts` goes into the metadata, and so do what of the wording is
    borrowed and the few numbers that calibration needs: the table and they are written as one."""
    columns: dict[str, Any] = {
        "example_id": list(scores.example_ids),
        "gold": [scores.labels[i] for i in scores.gold],
    }
    columns |= {f"logprob_{label}": scores.logprobs[:, i] for i, label in enumerate(scores.labels)}
    columns["tokens"] = scores.tokens
    columns |= {f"tokens_{label}": scores.label_tokens[:, i] for i, label in enumerate(scores.labels)}
    if scores.answer_bytes is not None:
        columns |= {f"bytes_{label}": scores.answer_bytes[:, i] for i, label in enumerate(scores.labels)}
    if scores.clusters:
        columns["cluster"] = list(scores.clusters)
    if scores.content:
        columns["content"] = list(scores.content)
    if texts is not None:
        columns["text"] = list(texts)
    note = json.dumps(
        {
            "language": scores.language,
            "labels": scores.labels,
            "kind": scores.kind,
            "length": scores.length,
            "calibration": _plain(scores.calibration),
        }
        | ({"borrowed_wording": scores.borrowed_wording} if scores.borrowed_wording else {})
        | dict(facts),
        ensure_ascii=False,
    )
    table = pa.table(columns).replace_schema_metadata({METADATA: note.encode()})
    with atomic(path) as partial:
        pq.write_table(table, partial)


def read_scores(path: Path) -> tuple[LabelScores, dict[str, Any]]:
    """(scores, the facts they were written with). DataError when the file is no such table."""
    try:
        table = pq.read_table(path)
        facts = json.loads(table.schema.metadata[METADATA])
        labels = tuple(facts.pop("labels"))
        gold = [labels.index(label) for label in table["gold"].to_pylist()]
        scores = LabelScores(
            language=facts.pop("language"),
            labels=labels,
            example_ids=tuple(table["example_id"].to_pylist()),
            gold=np.array(gold, dtype=np.int64),
            logprobs=np.stack([table[f"logprob_{label}"].to_numpy() for label in labels], axis=1),
            tokens=table["tokens"].to_numpy(),
            label_tokens=np.stack([table[f"tokens_{label}"].to_numpy() for label in labels], axis=1),
            calibration=_calibration(facts.pop("calibration", None), len(labels)),
            content=_texts(table, "content"),
            kind=facts.pop("kind", "labels"),
            length=facts.pop("length", "sum"),
            answer_bytes=np.stack([table[f"bytes_{label}"].to_numpy() for label in labels], axis=1)
            if f"bytes_{labels[0]}" in table.column_names
            else None,
            clusters=_texts(table, "cluster"),
            borrowed_wording=facts.pop("borrowed_wording", ""),
        )
    except (pa.ArrowInvalid, OSError, KeyError, TypeError, ValueError):
        raise DataError(
            f"{path}: not a table of label scores",
            hint="such tables are in <run>/evaluate/<name>/<task>; one that is damaged: delete it and evaluate again",
        ) from None
    return scores, facts


def _texts(table: pa.Table, name: str) -> tuple[str, ...]:
    """A column of texts; empty where the table has none."""
    return tuple(table[name].to_pylist()) if name in table.column_names else ()


def read_texts(path: Path) -> dict[str, str]:
    """What was asked by example id; empty where the table was written without. DataError when it is no such table."""
    try:
        table = pq.read_table(path)
    except (pa.ArrowInvalid, OSError):
        raise DataError(f"{path}: not a table of label scores", hint="delete it and evaluate again") from None
    if not {"example_id", "text"} <= set(table.column_names):
        return {}
    return dict(zip(table["example_id"].to_pylist(), table["text"].to_pylist(), strict=True))


def _plain(calibration: CalibrationScores | None) -> dict[str, Any] | None:
    # Through float64: its text gives the same float32 back.
    if calibration is None:
        return None
    return {key: value.astype(float).tolist() for key, value in vars(calibration).items()}


def _calibration(plain: Mapping[str, Any] | None, labels: int) -> CalibrationScores | None:
    if plain is None:
        return None
    return CalibrationScores(
        np.array(plain["content_free"], dtype=np.float32).reshape(-1, labels),
        np.array(plain["answer_prompt"], dtype=np.float32),
        np.array(plain["label_bytes"], dtype=np.int32),
    )


def read_evaluation(folder: Path) -> Evaluation:
    """The evaluation in `<run>/evaluate/<model>/<task>`. DataError when it is missing, unfinished or of two makings."""
    paths = sorted(Path(folder).glob("*.parquet"))
    if not paths:
        raise DataError(
            f"{folder}: no scores here", hint="give <run>/evaluate/<model>/<task>, after `spillover evaluate`"
        )
    read = {path: read_scores(path) for path in paths}
    facts = next(iter(read.values()))[1]
    for path, (_, own) in read.items():
        if own["key"] != facts["key"]:
            raise DataError(
                f"{path}: made from other inputs than {paths[0].name}", hint="evaluate again into a new folder"
            )
    scores = {own.language: own for own, _ in read.values()}
    ordered = {code: scores[code] for code in in_order(scores)}
    experiment = facts.get("experiment")
    return Evaluation(
        ModelRef(**facts["model"]),
        facts["task"],
        facts["label_set"],
        facts["key"],
        ordered,
        Experiment(**experiment | {"content_free": tuple(experiment["content_free"])}) if experiment else None,
    )


def facts_of(evaluation: Evaluation) -> dict[str, Any]:
    """What every table of an evaluation carries."""
    return {
        "model": asdict(evaluation.model),
        "task": evaluation.task,
        "label_set": evaluation.label_set,
        "key": evaluation.key,
        "experiment": asdict(evaluation.experiment) if evaluation.experiment else None,
    }
