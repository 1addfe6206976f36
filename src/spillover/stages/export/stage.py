"""The export stage: what we have, in the files of other tools.

lm-eval   a benchmark → tasks of lm-evaluation-harness with the same prompts and answers; `compare` reads their log
eee       a run's evaluations → records of Every Eval Ever
"""

from __future__ import annotations

import hashlib
import json
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from spillover.core.config import EvaluateConfig
from spillover.core.errors import ConfigError, RunError
from spillover.core.files import atomic, atomic_folder, hash_files, read_json, write_json, write_jsonl
from spillover.core.runs import EvaluationFolder, Run
from spillover.core.types import Relationship
from spillover.stages.evaluate.score_tables import read_evaluation, read_texts
from spillover.stages.export.eval_records import (
    UNKNOWN,
    EvaluationRecord,
    EvaluationSource,
    evaluation_record,
)
from spillover.stages.export.harness_tasks import ROWS_READER, ROWS_READER_TEXT, harness_task, harness_task_name
from spillover.tasks.benchmark import TEST, Benchmark
from spillover.tasks.harness_rows import harness_rows
from spillover.tasks.importers.hub import SOURCE


def export_lm_eval(benchmark: Benchmark, out: Path, *, config: EvaluateConfig | None = None) -> dict[str, int]:
    """Write a benchmark as tasks of lm-evaluation-harness, one for each language. Number of items by task name.

    config: label set and shots. out: a folder that is not there yet, or is empty. ConfigError where it is neither, or
    where the harness cannot ask what `evaluate` asks under this config; DataError as `harness_rows`.
    """
    config = config or EvaluateConfig()
    if config.rule != "exact":
        raise ConfigError(
            f"evaluate.rule: {config.rule}: lm-eval scores whole answers", hint="leave it out: it is exact then"
        )
    if config.chat not in ("auto", "off"):
        raise ConfigError(
            f"evaluate.chat: {config.chat}: prompts are exported without a chat template", hint="leave it out"
        )
    benchmark.check_labels(config.labels)
    _check_empty(out)
    task = benchmark.task
    rows = {
        code: harness_rows(task, prompts, label_set=config.labels, shots=config.shots)
        for code, prompts in benchmark.prompts(config.labels, config.shots).items()
    }
    with atomic_folder(out) as partial:
        (partial / ROWS_READER).write_text(ROWS_READER_TEXT, encoding="utf-8")
        for code, of_language in rows.items():
            name = harness_task_name(task, code)
            write_jsonl(partial / f"{name}.jsonl", (row.model_dump(mode="json") for row in of_language))
            (partial / f"{name}.yaml").write_text(harness_task(task, code), encoding="utf-8")
    return {harness_task_name(task, code): len(of_language) for code, of_language in rows.items()}


def export_eee(
    run: Run,
    out: Path,
    *,
    name: str | None = None,
    organization: str = UNKNOWN,
    relationship: Relationship = "other",
    retrieved: datetime | None = None,
) -> list[Path]:
    """Write a run's evaluations as records of Every Eval Ever, `<out>/data/spillover/<developer>/<model>/<uuid>.json`
    and its samples beside it. The paths of the records.

    name: one evaluation's name in the run; all unless given. organization, relationship: who evaluated, and whose the
    model is to them. retrieved: when the records are made, now unless given. The same evaluation has the same file.
    RunError when the run has no such evaluation, or one that is not finished.
    """
    folders = run.evaluations(name)
    if not folders:
        named = "no evaluations" if name is None else f"no evaluation named {name!r}"
        raise RunError(f"{run.path}: {named}", hint=f"`spillover evaluate --out {run.path}` first")
    if unfinished := [folder.path for folder in folders if folder.record.get("state") == "started"]:
        raise RunError(f"{unfinished[0]}: not finished", hint="rerun `spillover evaluate`: it resumes")
    retrieved = retrieved or datetime.now(timezone.utc)
    records = [_record(run, folder, organization, relationship, retrieved) for folder in folders]
    return [_write_record(out, record) for record in records]


def _record(
    run: Run, folder: EvaluationFolder, organization: str, relationship: Relationship, retrieved: datetime
) -> EvaluationRecord:
    evaluation, manifest = read_evaluation(folder.path), run.manifest()
    source = EvaluationSource(
        organization=organization,
        relationship=relationship,
        run=run.path.resolve().name,
        name=folder.model,
        versions=manifest["versions"],
        started=datetime.fromisoformat(folder.record.get("started") or manifest["created"]),
        retrieved=retrieved,
        data={code: _source_data(folder, evaluation.task, code) for code in evaluation.scores},
        texts={code: read_texts(folder.path / f"{code}.parquet") for code in evaluation.scores},
    )
    return evaluation_record(evaluation, source)


def _source_data(folder: EvaluationFolder, task: str, code: str) -> dict[str, Any]:
    """Which data set a language's items are of, as the record has it: the hub's where `spillover import hub` wrote the
    file, and it is still the one that was scored."""
    data, hashes = folder.record.get("facts", {}).get("data"), folder.record.get("settings", {}).get("data", {})
    details = {"data": Path(data).name} if data else {}
    details |= {"data_hash": hashes[code]} if code in hashes else {}
    described = Path(data or "") / SOURCE
    if data and described.is_file() and _is_unchanged(Path(data) / task / TEST, code, hashes.get(code)):
        imported = read_json(described)
        if imported.get("hub"):
            return {
                "dataset_name": imported["name"],
                "source_type": "hf_dataset",
                "hf_repo": imported["hub"],
                "hf_split": imported["splits"][TEST],
                "additional_details": details | {"revision": imported["revision"]},
            }
    return {"dataset_name": task, "source_type": "other"} | ({"additional_details": details} if details else {})


def _is_unchanged(folder: Path, code: str, recorded: str | None) -> bool:
    paths = list(folder.glob(f"{code}.*"))
    return len(paths) == 1 and hash_files(paths) == recorded


def _write_record(out: Path, record: EvaluationRecord) -> Path:
    """The record's file. Its samples are written before it: a record that is there is complete."""
    samples = record.path.with_name(f"{record.path.name}_samples.jsonl")
    with atomic(out / samples) as partial:
        # In ASCII: their validator breaks lines at U+2028 and the like, which text may hold.
        partial.write_text("".join(json.dumps(sample) + "\n" for sample in record.samples), encoding="ascii")
    reference = {
        "format": "jsonl",
        "file_path": samples.as_posix(),
        "hash_algorithm": "sha256",
        "checksum": hashlib.sha256((out / samples).read_bytes()).hexdigest(),
        "total_rows": len(record.samples),
    }
    path = out / record.path.with_suffix(".json")
    write_json(path, dict(record.aggregate) | {"detailed_evaluation_results": reference})
    return path


def _check_empty(out: Path) -> None:
    if out.exists() and not out.is_dir():
        raise RunError(f"{out}: is a file, not a folder", hint="choose another --out")
    if out.exists() and any(out.iterdir()):
        first = min(path.name for path in out.iterdir())
        raise RunError(f"{out}: not empty (it holds {first})", hint="choose another --out, or empty it")
