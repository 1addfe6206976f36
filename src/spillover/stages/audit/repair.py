"""A repaired copy of a data folder: only mends that are certain, each row named.

1. Rename label words where the other languages say what each must mean, and put exchanged classes right.
2. Take the other languages' label where all of them agree against one.
3. Read mojibake again, unescape entities, leave out a row that stands twice.

Everything else is copied as it is. The originals are never written to.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from spillover.core.errors import RunError
from spillover.core.files import atomic_folder, write_jsonl
from spillover.core.types import Example, Finding, Task
from spillover.stages.audit.content_checks import mend_text
from spillover.tasks.examples import data_folder, language_files, read_rows, write_examples
from spillover.tasks.wording import load_task

MENDS = "MENDS.jsonl"
TEXT_CHECKS = ("mojibake", "escaped-text")
LABEL_CHECKS = ("unknown-label", "label-permutation", "label-disagrees")


@dataclass(frozen=True)
class Mend:
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
    """RunError when `out` exists and was not made by `fix`, or lies in the data folder."""
    if out.exists() and (not out.is_dir() or (any(out.iterdir()) and not (out / MENDS).is_file())):
        raise RunError(f"{out}: exists and was not made by --fix", hint="choose another folder")
    if out.resolve().is_relative_to(data_folder(data).resolve()):
        raise RunError(f"{out}: lies in the data folder itself", hint="choose another folder")


def fix(findings: Sequence[Finding], tasks: Sequence[str], *, data: str, out: Path) -> list[Mend]:
    """Write a repaired copy of `data` to the folder `out`, with MENDS.jsonl, and return the mends.

    RunError as `check_target`.
    """
    check_target(data, out)
    mends: list[Mend] = []
    with atomic_folder(out) as partial:
        shutil.copytree(data_folder(data), partial, dirs_exist_ok=True, ignore=shutil.ignore_patterns(MENDS))
        for name in tasks:
            task = load_task(name)
            own = [
                f
                for f in findings
                if (f.task == task.name and f.certainty == "certain") or f.check == "label-disagrees"
            ]
            for split, code in dict.fromkeys((f.split, f.language) for f in own if f.task == task.name):
                here = [f for f in own if (f.task, f.split, f.language) == (task.name, split, code)]
                mends += _fix_file(task, split, code, here, data, partial)
        write_jsonl(partial / MENDS, map(asdict, mends))
    return mends


def _fix_file(task: Task, split: str, code: str, findings: Sequence[Finding], data: str, out: Path) -> list[Mend]:
    path = language_files(data, task, split).get(code)
    if path is None:
        return []
    rows: list[Example] = []
    mends: list[Mend] = []
    named = [(finding, _rows_to_mend(finding)) for finding in findings]
    for row in _without_repeats(read_rows(path, task, code), findings, mends, task, split):
        mended = row
        for finding, ids in named:
            mended = _mend_row(mended, finding) if ids is None or row.id in ids else mended
            mends += _differences(row, mended, finding, task, split)
            row = mended
        rows.append(mended)
    if mends:
        target = out / task.name / split / f"{code}.jsonl"
        (out / task.name / split / path.name).unlink()
        write_examples(target, rows)
    return mends


def _rows_to_mend(finding: Finding) -> frozenset[str] | None:
    """Ids of the rows that a finding's mend touches; None for all, as exchanged classes are exchanged everywhere."""
    if finding.check == "label-permutation":
        return None
    evidence: Mapping[str, Any] = finding.evidence
    return frozenset(evidence["unanimous"] if finding.check == "label-disagrees" else finding.example_ids)


def _mend_row(row: Example, finding: Finding) -> Example:
    """The row as one finding's certain mend leaves it."""
    if finding.check in TEXT_CHECKS:
        return mend_text(row)
    if row.label is None or finding.check not in LABEL_CHECKS:
        return row
    evidence: Mapping[str, Any] = finding.evidence
    if finding.check == "label-disagrees":
        return replace(row, label=evidence["consensus"][row.id])
    return replace(row, label=evidence["mapping"].get(row.label) or row.label)


def _differences(before: Example, after: Example, finding: Finding, task: Task, split: str) -> Iterator[Mend]:
    values = {"label": (before.label, after.label)} | {
        name: (before.fields[name], after.fields[name]) for name in before.fields
    }
    for name, (old, new) in values.items():
        if old != new:
            yield Mend(task.name, split, before.language, before.id, finding.check, name, str(old), str(new))


def _without_repeats(
    rows: Sequence[Example], findings: Sequence[Finding], mends: list[Mend], task: Task, split: str
) -> Iterator[Example]:
    """The rows, the second and later copies of one row left out."""
    again: list[Any] = [f.evidence["same row again"] for f in findings if f.check == "repeated-id"]
    repeats = {example_id for ids in again for example_id in ids}
    seen: set[str] = set()
    for row in rows:
        if row.id in repeats and row.id in seen:
            mends.append(Mend(task.name, split, row.language, row.id, "repeated-id", "row", "twice", "once"))
            continue
        seen.add(row.id)
        yield row
