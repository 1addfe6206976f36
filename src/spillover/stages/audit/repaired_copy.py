"""A repaired copy of a data folder: only repairs that are certain, each changed row recorded.

The findings carry the repairs: exchanged classes and unknown label words renamed, the other languages' label where all
of them agree against one, mojibake decoded and entities unescaped, copies of a row left out. Everything else is copied
as it is. The originals are never written to.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from spillover.core.errors import RunError
from spillover.core.files import atomic_folder, write_jsonl
from spillover.core.types import Example, Finding, Task
from spillover.stages.audit import checks
from spillover.tasks.benchmark import Benchmark
from spillover.tasks.examples import data_folder, language_files, read_rows, write_examples

REPAIRS = "REPAIRS.jsonl"
RECORDS = (REPAIRS, "MENDS.jsonl")  # the second is an earlier version's


@dataclass(frozen=True)
class Repair:
    """One change of one row: `field` is a field's name, label, or row for a row that was left out."""

    task: str
    split: str
    language: str
    example_id: str
    check: str
    field: str
    before: str
    after: str


def check_target(data: str, out: Path) -> None:
    """RunError when `out` exists and is no repaired copy, or lies in the data folder."""
    if out.exists() and (not out.is_dir() or (any(out.iterdir()) and not any((out / r).is_file() for r in RECORDS))):
        raise RunError(f"{out}: exists and was not made by --fix", hint="choose another folder")
    if out.resolve().is_relative_to(data_folder(data).resolve()):
        raise RunError(f"{out}: lies in the data folder itself", hint="choose another folder")


def write_repaired_copy(findings: Sequence[Finding], benchmarks: Sequence[Benchmark], out: Path) -> list[Repair]:
    """Write a repaired copy of the benchmarks' data folder to `out`, with REPAIRS.jsonl, and return the repairs.

    findings: as `audit` returns them. benchmarks: at least one, all of one data folder. RunError as `check_target`.
    """
    data = benchmarks[0].data
    check_target(data, out)
    order = [check.id for check in checks.CHECKS]
    certain = sorted((f for f in findings if f.repair is not None), key=lambda f: order.index(f.check))
    repairs: list[Repair] = []
    with atomic_folder(out) as partial:
        shutil.copytree(data_folder(data), partial, dirs_exist_ok=True, ignore=shutil.ignore_patterns(*RECORDS))
        for task in (benchmark.task for benchmark in benchmarks):
            for split, code in dict.fromkeys((f.split, f.language) for f in certain if f.task == task.name):
                of_file = [f for f in certain if (f.task, f.split, f.language) == (task.name, split, code)]
                repairs += _repair_file(task, split, code, of_file, data, partial)
        write_jsonl(partial / REPAIRS, map(asdict, repairs))
    return repairs


def _repair_file(task: Task, split: str, code: str, findings: Sequence[Finding], data: str, out: Path) -> list[Repair]:
    path = language_files(data, task, split).get(code)
    if path is None:
        return []
    rows: list[Example] = read_rows(path, task, code)
    repairs: list[Repair] = []
    for finding in findings:
        assert finding.repair is not None
        repaired = finding.repair.apply(rows)
        for before, after in zip(rows, repaired, strict=True):
            repairs += [
                Repair(task.name, split, code, before.id, finding.check, name, old, new)
                for name, old, new in _differences(before, after)
            ]
        rows = [row for row in repaired if row is not None]
    if repairs:
        (out / task.name / split / path.name).unlink()
        write_examples(out / task.name / split / f"{code}.jsonl", rows)
    return repairs


def _differences(before: Example, after: Example | None) -> Iterator[tuple[str, str, str]]:
    """(field, before, after) of what a repair changed in a row."""
    if after is None:
        yield "row", "twice", "once"
        return
    if before.label != after.label:
        yield "label", str(before.label), str(after.label)
    for name, text in before.fields.items():
        if text != after.fields[name]:
            yield name, text, after.fields[name]
    for i, (text, repaired) in enumerate(zip(before.choices, after.choices, strict=True)):
        if text != repaired:
            yield f"choice {i}", text, repaired
