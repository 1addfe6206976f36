"""The files of translated questions, the record of where they came from, and the audit's findings.

A file that is already there is replaced only if it was written here: the manifest keeps the hash of each, recorded
before it is written.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from spillover.core.config import AuditConfig, AuditThresholds
from spillover.core.errors import ModelError, RunError
from spillover.core.files import hash_files, hash_of, remove_partials, write_json
from spillover.core.runs import Run
from spillover.core.types import Example, Finding, Language, Progress, Task
from spillover.stages.audit import audit
from spillover.stages.audit.checks import CHECKS, LABELS, Scope
from spillover.stages.audit.findings import write_findings
from spillover.stages.translate.batches import TranslatedRow
from spillover.stages.translate.translated_questions import LanguageCounts, TranslatedQuestions
from spillover.tasks.benchmark import TEST, TRAIN, Benchmark
from spillover.tasks.examples import language_files, write_examples

RECORD, FINDINGS = "record.json", "findings.json"
WRITTEN = "written"


def questions_hash(questions: Sequence[Example]) -> str:
    """A hash of what questions are, whatever file they are in."""
    return hash_of([asdict(row) for row in questions])


def check_folder(run: Run, out: Path, task: Task, languages: Sequence[Language], *, questions: str) -> None:
    """RunError where the data folder `out` has training questions in one of these languages that were not made here, or
    were changed since, or translations of other questions. questions: their hash."""
    for name, stage in run.manifest()["stages"].items():
        if name.startswith(f"{task.name}/") and stage["settings"].get("questions") != questions:
            raise RunError(
                f"{run.path}: holds {name}, which was translated from other questions than these",
                hint="choose another --out, or delete this folder",
            )
    files = language_files(str(out), task, TRAIN) if out.is_dir() else {}
    for code in (written.code for written in languages):
        if code in files and hash_files([files[code]]) not in _hashes(run).get(_key(task.name, code), []):
            raise RunError(
                f"{files[code]}: not made by this translation, or changed since",
                hint="choose another --out, or move it away",
            )


def write_output(
    run: Run,
    task: Task,
    questions: Sequence[Example],
    rows: Mapping[str, Sequence[tuple[TranslatedRow, Example]]],
    *,
    questions_file: Path,
    pairwise: bool,
    thresholds: AuditThresholds,
    progress: Progress,
) -> TranslatedQuestions:
    """Write `<task>/train/<language>.jsonl` beside the run's folder, the record, and the findings. rows: of each
    target, in the order of the questions. questions_file: for the record. pairwise: a row that is bad in one language
    is left out there alone. ModelError where no row is left."""
    bad = {code: {row.id for row, _ in of_language if row.problem} for code, of_language in rows.items()}
    everywhere = set() if pairwise else set().union(*bad.values())
    good = {
        code: [example for row, example in of_language if row.id not in bad[code] | everywhere]
        for code, of_language in rows.items()
    }
    if not all(good.values()):
        counts = ", ".join(f"{code} {len(ids)}" for code, ids in bad.items())
        raise ModelError(
            f"none of {len(questions)} rows is good in every language; left out: {counts}",
            hint="--set translate.missing_items=pairwise leaves a row out of one language alone",
        )
    source = [row for row in questions if row.id not in everywhere]
    examples = {source[0].language: source} | good
    folder = run.path.parent / task.name / TRAIN
    remove_partials(folder)
    for code, of_language in examples.items():
        _write_recorded(run, folder / f"{code}.jsonl", _key(task.name, code), of_language)
    findings = _audited(task, examples, thresholds, progress)
    write_findings(run.path / task.name / FINDINGS, findings)
    counts_by_language = {
        code: LanguageCounts(
            rows=len(of_language),
            retried=sum(row.retried for row, _ in of_language),
            left_out={row.id: row.problem for row, _ in of_language if row.problem},
            written=len(good[code]),
        )
        for code, of_language in rows.items()
    }
    path = run.path / task.name / RECORD
    record = {
        "questions": questions_file.name, "questions_hash": questions_hash(questions),
        "source": source[0].language, "provenance": "machine-translated",
        "missing_items": "pairwise" if pairwise else "intersection", "versions": run.manifest()["versions"],
        "languages": {code: _origin(run, task, code, counts) for code, counts in counts_by_language.items()},
        "audit": dict(Counter(finding.severity for finding in findings)),
    }  # fmt: skip
    write_json(path, record)
    return TranslatedQuestions(folder, path, counts_by_language, findings)


def _origin(run: Run, task: Task, code: str, counts: LanguageCounts) -> dict[str, Any]:
    """What the record says of one language; a server's key is in none of it."""
    stage = run.manifest()["stages"][f"{task.name}/{code}"]
    settings, facts = stage["settings"], stage["facts"]
    return {
        "started": stage.get("started"), "translator": facts["translator"], "fingerprint": settings["translator"],
        "prompt": facts["prompt"], "config": settings["config"], "checks": settings["checks"], "rows": counts.rows,
        "retried": counts.retried, "written": counts.written, "left_out": dict(counts.left_out),
    }  # fmt: skip


def _key(task: str, code: str) -> str:
    return f"{task}/{TRAIN}/{code}"


def _hashes(run: Run) -> dict[str, list[str]]:
    return dict(run.manifest().get(WRITTEN, {}))


def _write_recorded(run: Run, path: Path, key: str, examples: Sequence[Example]) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        # The hash is of the name too.
        copy = Path(temporary) / path.name
        write_examples(copy, examples)
        made = hash_files([copy])
    known = _hashes(run)
    if made not in known.get(key, []):
        run.update(**{WRITTEN: known | {key: [*known.get(key, []), made]}})
    write_examples(path, examples)


def _audited(
    task: Task, examples: Mapping[str, Sequence[Example]], thresholds: AuditThresholds, progress: Progress
) -> list[Finding]:
    """The audit of the questions, as if they were test items: what it says of labels only where they have labels, and
    nothing of the wording, which is not theirs."""
    labelled = all(row.label is not None for rows in examples.values() for row in rows)
    skip = {check.id for check in CHECKS if check.scope is Scope.WORDING}
    if not labelled:
        skip |= {check.id for check in CHECKS if check.kinds == LABELS} | {"missing-label"}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / task.name / TEST
        files = {code: folder / f"{code}.jsonl" for code in examples}
        for code, rows in examples.items():
            write_examples(files[code], rows)
        benchmark = Benchmark(task.name, task, temporary, tuple(files), tuple(files), files)
        found = audit(benchmark, config=AuditConfig(skip=sorted(skip), thresholds=thresholds), progress=progress)
    return [replace(finding, split=TRAIN if finding.split == TEST else finding.split) for finding in found]
