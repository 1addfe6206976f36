"""Findings in order, on disk, and what a run makes of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import get_args

from spillover.core.errors import DataError
from spillover.core.files import read_json, write_json
from spillover.core.notebook import block, paragraph, table
from spillover.core.types import Finding, Severity

SEVERITIES: tuple[Severity, ...] = get_args(Severity)
"""The worst first. `error`: a score from this data is wrong. `warning`: rows measure something else than they should.
`note`: good to know."""

# Keys of findings.json in earlier versions.
RENAMED_KEYS = {"facts": "evidence", "mend": "suggestion"}


class Findings(list[Finding]):
    """A list of findings that shows itself as a table in a notebook."""

    def _repr_html_(self) -> str:
        counts = [(severity, sum(finding.severity == severity for finding in self)) for severity in SEVERITIES]
        title = ", ".join(f"{count} {severity}{'s' * (count != 1)}" for severity, count in counts)
        rows = [
            (one.severity, one.task, one.language or "all", one.check, one.message, len(one.example_ids), _ceiling(one))
            for one in self
        ]
        headings = ("", "task", "language", "check", "what", "rows", "perfect model, %")
        return block(title, table(headings, rows) if rows else paragraph("Nothing was found."))


def _ceiling(finding: Finding) -> str:
    """The accuracy of a perfect model, where the fault bounds it."""
    return "" if finding.ceiling is None else f"{100 * finding.ceiling:.1f}"


def by_severity(findings: Iterable[Finding]) -> Findings:
    """Errors before warnings before notes; within them the lowest ceiling, then the most rows."""
    return Findings(
        sorted(
            findings,
            key=lambda f: (SEVERITIES.index(f.severity), 1.0 if f.ceiling is None else f.ceiling, -len(f.example_ids)),
        )
    )


def write_findings(path: Path, findings: Sequence[Finding]) -> None:
    """findings.json: a list of findings, errors first."""
    write_json(path, [_json(finding) for finding in findings])


def _json(finding: Finding) -> dict[str, object]:
    values = asdict(replace(finding, repair=None))
    del values["repair"]
    return values


def read_findings(path: Path) -> Findings:
    """The findings in a findings.json, also of earlier versions."""
    findings = []
    for row in read_json(path):
        values = {RENAMED_KEYS.get(key, key): value for key, value in row.items()}
        findings.append(Finding(**values | {"example_ids": tuple(values["example_ids"])}))
    return Findings(findings)


def reaches(findings: Iterable[Finding], severity: Severity) -> bool:
    """Whether any finding is of this severity, or worse."""
    return any(SEVERITIES.index(finding.severity) <= SEVERITIES.index(severity) for finding in findings)


def refuse_errors(findings: Sequence[Finding]) -> None:
    """DataError when an audit found errors: a run on such data stops before anything is computed."""
    errors = [finding for finding in findings if finding.severity == "error"]
    explained = {(f.task, f.language) for f in errors if f.check != "oracle-ceiling"}
    # The ceiling sums up its causes; it is shown where no cause of it is an error itself.
    shown = [f for f in errors if f.check != "oracle-ceiling" or (f.task, f.language) not in explained]
    if shown:
        lines = [" ".join(filter(None, (f.task, f.language))) + f": {f.message}" for f in shown]
        raise DataError(
            lines,
            hint="`spillover audit --fix FOLDER` repairs what is certain; `--set audit.stop=false` runs on it as it is",
        )
