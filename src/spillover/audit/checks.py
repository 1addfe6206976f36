"""What is wrong in a task's data, row by row, from the files alone.

Each check yields findings; none of them loads a model. A broken line stops the audit with its place, everything else is
reported. `errors` are faults that make a score wrong, `warnings` are rows that measure something else.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from spillover.audit.leakage import shots_in_test
from spillover.core.errors import DataError
from spillover.core.files import hash_files, read_json, write_json
from spillover.core.languages import reference_language, select_languages
from spillover.core.runs import Run
from spillover.core.types import Example, Finding, Progress, Task, no_progress
from spillover.tasks.examples import language_files, read_rows
from spillover.tasks.overlap import normalise
from spillover.tasks.wording import load_task

Items = Mapping[str, Mapping[str, Example]]


def audit(task: str, *, data: str = "demo", languages: str | Sequence[str] = "all") -> list[Finding]:
    """Every finding in a task's test items, errors first. languages: as in `evaluate`."""
    wording = load_task(task)
    files = language_files(data, wording, "test")
    if not files:
        raise DataError(
            f"{data}: no {wording.name}/test/<language>.jsonl here", hint="`--data demo`, or another --task"
        )
    codes = select_languages(languages, files, where=f"languages of {data}")
    findings: list[Finding] = []
    items: dict[str, dict[str, Example]] = {}
    for code in codes:
        rows = read_rows(files[code], wording, code)
        findings += _row_findings(wording, code, rows)
        items[code] = {row.id: row for row in rows}
    findings += _missing_items(wording, items)
    findings += _labels_against_others(wording, items)
    findings += _against_reference(wording, items)
    findings += shots_in_test(wording, items)
    order = {"error": 0, "warning": 1, "note": 2}
    return sorted(findings, key=lambda finding: order[finding.severity])


def _row_findings(task: Task, code: str, rows: Sequence[Example]) -> Iterator[Finding]:
    """Repeated ids, unknown labels and the ceiling they leave, empty fields, repeated items, identical sides."""
    repeated = [example_id for example_id, n in Counter(row.id for row in rows).items() if n > 1]
    if repeated:
        yield _finding("repeated-id", "error", task, code, f"{len(repeated)} ids stand more than once", repeated)
    unknown = [row for row in rows if row.label not in task.labels]
    if unknown:
        words = sorted({str(row.label) for row in unknown})
        ceiling = 1 - len(unknown) / len(rows)
        yield _finding(
            "unknown-label", "error", task, code,
            f"{len(unknown)} items have a label that the task does not: {', '.join(words[:5])}; "
            f"a perfect model scores {100 * ceiling:.0f} %",
            [row.id for row in unknown], ceiling=ceiling,
        )  # fmt: skip
    empty = [row.id for row in rows if not all(text.strip() for text in row.fields.values())]
    if empty:
        yield _finding("empty-field", "error", task, code, f"{len(empty)} items have an empty field", empty)
    groups: dict[tuple[str, ...], list[str]] = {}
    for row in rows:
        groups.setdefault(tuple(map(normalise, row.fields.values())), []).append(row.id)
    twice = [example_id for ids in groups.values() if len(ids) > 1 for example_id in ids]
    if twice:
        yield _finding("repeated-item", "warning", task, code, f"{len(twice)} items have the text of another", twice)
    if len(task.fields) > 1:
        same = [row.id for row in rows if len(set(map(normalise, row.fields.values()))) == 1]
        if same:
            yield _finding("identical-sides", "warning", task, code, f"{len(same)} items have identical sides", same)


def _missing_items(task: Task, items: Items) -> Iterator[Finding]:
    everywhere = dict.fromkeys(example_id for rows in items.values() for example_id in rows)
    for code, rows in items.items():
        missing = [example_id for example_id in everywhere if example_id not in rows]
        if missing:
            yield _finding("missing-item", "error", task, code, f"{len(missing)} items are missing", missing)


def _labels_against_others(task: Task, items: Items) -> Iterator[Finding]:
    """Items whose label differs from what most languages give; all of one class at once is an exchanged label."""
    votes: dict[str, Counter[str]] = {}
    for rows in items.values():
        for example_id, row in rows.items():
            if row.label in task.labels:
                votes.setdefault(example_id, Counter())[str(row.label)] += 1
    for code, rows in items.items():
        apart: dict[tuple[str, str], list[str]] = {}
        for example_id, row in rows.items():
            if row.label in task.labels and len(items) > 2:
                majority = votes[example_id].most_common(1)[0][0]
                if majority != row.label:
                    apart.setdefault((majority, str(row.label)), []).append(example_id)
        if not apart:
            continue
        wrong = [example_id for ids in apart.values() for example_id in ids]
        ceiling = 1 - len(wrong) / len(rows)
        pairs = ", ".join(f"{len(ids)} x {given} for {majority}" for (majority, given), ids in apart.items())
        yield _finding(
            "label-disagrees", "error", task, code,
            f"{len(wrong)} labels differ from the other languages' ({pairs}); "
            f"a perfect model scores {100 * ceiling:.0f} %",
            wrong, ceiling=ceiling,
        )  # fmt: skip


def _against_reference(task: Task, items: Items) -> Iterator[Finding]:
    """Items left in the reference language, and pairs whose two sides became one in translation."""
    reference = items.get(reference_language())
    if reference is None:
        return
    for code, rows in items.items():
        if rows is reference:
            continue
        untranslated = [
            example_id
            for example_id, row in rows.items()
            if example_id in reference and row.fields == reference[example_id].fields
        ]
        if untranslated:
            yield _finding(
                "untranslated", "warning", task, code, f"{len(untranslated)} items are the English text", untranslated
            )


def _finding(
    check: str, severity: str, task: Task, code: str, message: str, ids: Sequence[str], **facts: object
) -> Finding:
    return Finding(check, severity, task.name, code, message, tuple(ids), facts)  # type: ignore[arg-type]


def audit_run(
    run: Run,
    tasks: Sequence[str],
    *,
    data: str,
    languages: str | Sequence[str],
    progress: Progress = no_progress,
) -> list[Finding]:
    """The audit stage: `<run>/audit/findings.json` for all tasks. It takes seconds, so it is always made afresh."""
    settings: dict[str, object] = {"languages": languages}
    findings: list[Finding] = []
    for number, task in enumerate(tasks, start=1):
        wording = load_task(task)
        settings[wording.name] = [wording.fingerprint, hash_files(language_files(data, wording, "test").values())]
        findings += audit(task, data=data, languages=languages)
        progress("audit", number, len(tasks))
    with run.stage("audit", settings, replace=True) as stage:
        write_findings(run.path / "audit" / "findings.json", findings)
        stage.facts |= dict(Counter(finding.severity for finding in findings))
    return findings


def write_findings(path: Path, findings: Sequence[Finding]) -> None:
    """findings.json: a list of findings, errors first."""
    write_json(path, [asdict(finding) for finding in findings])


def read_findings(path: Path) -> list[Finding]:
    """The findings in a findings.json."""
    return [Finding(**row | {"example_ids": tuple(row["example_ids"])}) for row in read_json(path)]


def refuse_errors(findings: Sequence[Finding]) -> None:
    """DataError when an audit found errors: a run on such data stops before anything is computed."""
    errors = [finding for finding in findings if finding.severity == "error"]
    if errors:
        lines = [f"{finding.task} {finding.language}: {finding.message}" for finding in errors]
        raise DataError("\n".join(lines), hint="mend the data, or `--set audit.stop=false` to go on")
