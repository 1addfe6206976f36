"""Logs of other tools → evaluations, so that two of their runs are compared by the same tests.

lm-evaluation-harness  samples_<task>_<time>.jsonl, as `--log_samples` writes them; one file, or a folder of them
inspect_ai             a .json log, or an .eval one (a zip of JSON, its parts packed with zstandard)

Where all items of a harness task have the same choices, these are the labels, with their log-probabilities. Otherwise
only each item's score is known: accuracy can be compared, calibration and AUROC cannot.
"""

from __future__ import annotations

import json
import os
import re
import struct
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from spillover.core.errors import ConfigError, DataError
from spillover.core.files import hash_files, read_json, read_jsonl
from spillover.core.languages import UNKNOWN_LANGUAGE, known_languages
from spillover.core.types import Evaluation, LabelScores, ModelRef

SAMPLES = re.compile(r"samples_(?P<task>.+?)(_\d{4}-\d\d-\d\dT[\d\-.:]+)?$")
HARNESS_METRICS = ("acc", "exact_match")
INSPECT_VALUES = {"C": 1.0, "P": 0.5, "I": 0.0, "N": 0.0, True: 1.0, False: 0.0}
ZSTANDARD = 93  # the zip format's number for it; zipfile knows it from Python 3.14 on
HINT = "give a samples_*.jsonl of --log_samples, a folder of them, or an inspect_ai log (.json or .eval)"


def is_log(path: Path) -> bool:
    """Whether a path looks like another tool's log, rather than a run folder."""
    if path.is_dir():
        return any(path.rglob("samples_*.jsonl"))
    return path.suffix in (".jsonl", ".json", ".eval")


def read_logs(path: Path, *, metric: str | None = None) -> list[Evaluation]:
    """The evaluations in a log, one per task; harness tasks that end in a language code are languages of one task.

    metric: which of the log's scores counts, where it has several. DataError names file and line.
    """
    if path.suffix in (".json", ".eval"):
        return [_inspect(path, metric)]
    files = sorted(path.rglob("samples_*.jsonl")) if path.is_dir() else [path]
    if not files or not all(file.is_file() for file in files):
        raise DataError(f"{path}: no samples found", hint=HINT)
    tasks: dict[str, dict[str, LabelScores]] = {}
    for file in files:
        match = SAMPLES.match(file.stem)
        task, code = _task_and_language(match["task"] if match else file.stem)
        if code in tasks.setdefault(task, {}):
            raise DataError(f"{file}: duplicate {task} {code}", hint="keep the newer one")
        tasks[task][code] = _harness(file, code, metric)
    model = ModelRef(path.name, None, None, hash_files(files))
    return [Evaluation(model, task, "log", model.fingerprint, scores) for task, scores in tasks.items()]


def _task_and_language(name: str) -> tuple[str, str]:
    stem, _, last = name.rpartition("_")
    return (stem, last) if stem and last in known_languages() else (name, UNKNOWN_LANGUAGE)


def _harness(path: Path, code: str, metric: str | None) -> LabelScores:
    rows: dict[str, tuple[int, Mapping[str, Any]]] = {}
    for line, row in read_jsonl(path):
        if "doc_id" not in row:
            raise DataError(f"{path}:{line}: no doc_id", hint=HINT)
        name = str(row["doc_id"])
        if name in rows:
            if row.get("filter") != rows[name][1].get("filter"):
                continue  # the same answer under another filter; the first counts
            raise DataError(f"{path}:{line}: duplicate doc_id {name}, first on line {rows[name][0]}")
        rows[name] = (line, row)
    labels = _choices([row for _, row in rows.values()]) if metric is None else ()
    if labels:
        return _harness_labels(path, code, rows, labels)
    outcomes = [_harness_outcome(path, line, row, metric) for line, row in rows.values()]
    return outcome_scores(code, list(rows), outcomes)


def _choices(rows: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """The choices that all items share, when they were scored by log-probability; else none."""
    distinct = {tuple(_continuations(row)) for row in rows}
    choices = next(iter(distinct)) if len(distinct) == 1 else ()
    scored = all(
        isinstance(row.get("filtered_resps"), list) and len(row["filtered_resps"]) == len(choices) for row in rows
    )
    indexed = all(
        str(row.get("target", "")).strip() in (*map(str, range(len(choices))), *map(str.strip, choices)) for row in rows
    )
    return tuple(choice.strip() for choice in choices) if len(set(choices)) > 1 and scored and indexed else ()


def _continuations(row: Mapping[str, Any]) -> list[str]:
    arguments = row.get("arguments", {})
    calls = list(arguments.values()) if isinstance(arguments, dict) else list(arguments)
    texts = [call.get("arg_1") if isinstance(call, dict) else ([*call, None, None])[1] for call in calls]
    return [text for text in texts if isinstance(text, str)] if all(isinstance(t, str) for t in texts) else []


def _harness_labels(
    path: Path, code: str, rows: Mapping[str, tuple[int, Mapping[str, Any]]], labels: tuple[str, ...]
) -> LabelScores:
    gold, logprobs = [], []
    for line, row in rows.values():
        target = str(row["target"]).strip()
        gold.append(int(target) if target.isdigit() and target not in labels else labels.index(target))
        try:
            pairs = [answer if isinstance(answer, list) else [answer] for answer in row["filtered_resps"]]
            logprobs.append([float(answer[0]) for answer in pairs])
        except (TypeError, ValueError, IndexError):
            raise DataError(f"{path}:{line}: filtered_resps holds no log-probabilities", hint=HINT) from None
    values = np.array(logprobs, dtype=np.float32)
    ones = np.ones(values.shape, np.int32)
    return LabelScores(code, labels, tuple(rows), np.array(gold, dtype=np.int64), values, ones[:, 0], ones)


def _harness_outcome(path: Path, line: int, row: Mapping[str, Any], metric: str | None) -> float:
    present = [name for name in row.get("metrics") or HARNESS_METRICS if name in row]
    name = metric or next((known for known in HARNESS_METRICS if known in present), present[0] if present else "")
    if name not in row:
        raise DataError(f"{path}:{line}: no score {name!r}", hint=f"it has {', '.join(present) or 'none'}: --metric")
    return _in_range(row[name], f"{path}:{line}: {name}")


def _inspect(path: Path, metric: str | None) -> Evaluation:
    header, samples = _inspect_parts(path)
    if header.get("status", "success") != "success":
        raise DataError(f"{path}: the run ended with status {header['status']!r}", hint="`inspect eval-retry` ends it")
    task = header.get("eval", {}).get("task")
    if not isinstance(task, str) or not samples:
        raise DataError(f"{path}: no samples found", hint=HINT)
    values: dict[str, list[float]] = {}
    for sample in samples:
        name = str(sample.get("id"))
        values.setdefault(name, []).append(_inspect_outcome(path, name, sample.get("scores"), metric))
    # Epochs repeat an item: their mean is the item's outcome.
    scores = outcome_scores(UNKNOWN_LANGUAGE, list(values), [float(np.mean(epochs)) for epochs in values.values()])
    stem, code = _task_and_language(task.rpartition("/")[2])
    model = ModelRef(str(header["eval"].get("model", path.stem)), None, None, hash_files([path]))
    fitted = LabelScores(**(vars(scores) | {"language": code}))
    return Evaluation(model, stem, "log", model.fingerprint, {code: fitted})


def _inspect_parts(path: Path) -> tuple[Mapping[str, Any], list[Mapping[str, Any]]]:
    if path.suffix == ".json":
        log = read_json(path)
        if not isinstance(log, dict):
            raise DataError(f"{path}: not an inspect_ai log", hint=HINT)
        return log, list(log.get("samples") or [])
    try:
        with zipfile.ZipFile(path) as archive:
            parts = {part.filename: part for part in archive.infolist()}
            if "header.json" not in parts and any(name.startswith("_journal/") for name in parts):
                raise DataError(f"{path}: the run has not ended", hint="`inspect eval-retry` ends it")
            header = _unpacked(archive, parts["header.json"], path)
            return header, [_unpacked(archive, parts[name], path) for name in parts if name.startswith("samples/")]
    except (OSError, KeyError, ValueError, zipfile.BadZipFile, NotImplementedError) as error:
        raise DataError(
            f"{path}: not a readable .eval log: {error}",
            hint=f"`inspect log convert --to json --output-dir logs {path.name}` writes one that is",
        ) from None


def _unpacked(archive: zipfile.ZipFile, part: zipfile.ZipInfo, path: Path) -> Any:
    """The JSON of one part, also where it is packed with zstandard: inspect_ai does that, zipfile cannot read it."""
    if part.compress_type != ZSTANDARD:
        return json.loads(archive.read(part))
    import pyarrow as pa

    with path.open("rb") as file:
        file.seek(part.header_offset + 26)  # the local header's fixed fields; then a name and an extra field
        name, extra = struct.unpack("<HH", file.read(4))
        file.seek(name + extra, os.SEEK_CUR)
        packed = file.read(part.compress_size)
    with pa.CompressedInputStream(pa.BufferReader(packed), "zstd") as stream:
        return json.loads(stream.read())


def _inspect_outcome(path: Path, name: str, scores: Any, metric: str | None) -> float:
    if not isinstance(scores, dict) or not scores:
        raise DataError(f"{path}: sample {name} has no score", hint="score the log first")
    if metric is None and len(scores) > 1:
        raise ConfigError(f"{path}: several scores: {', '.join(scores)}", hint="choose one with --metric")
    chosen = scores.get(metric) if metric else next(iter(scores.values()))
    if chosen is None:
        raise ConfigError(f"{path}: no score {metric!r}", hint=f"it has {', '.join(scores)}")
    return _in_range(chosen.get("value") if isinstance(chosen, dict) else chosen, f"{path}: sample {name}")


def _in_range(value: Any, where: str) -> float:
    if isinstance(value, str) and value in INSPECT_VALUES:
        return INSPECT_VALUES[value]
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = np.nan
    if not 0 <= number <= 1:
        raise DataError(f"{where}: {value!r} is not a score between 0 and 1", hint="choose another with --metric")
    return number


def outcome_scores(code: str, ids: Sequence[str], outcomes: Sequence[float]) -> LabelScores:
    """Scores of items of which only the outcome is known."""
    n = len(ids)
    no_labels = np.zeros((n, 0))
    return LabelScores(
        code, (), tuple(ids), np.zeros(n, np.int64), no_labels.astype(np.float32), np.zeros(n, np.int32),
        no_labels.astype(np.int32), outcome=np.array(outcomes, dtype=np.float64),
    )  # fmt: skip
