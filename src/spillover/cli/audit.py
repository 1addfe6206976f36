"""`spillover audit`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from spillover.cli.options import Data, Json, Lang, TaskName

if TYPE_CHECKING:
    from spillover.core.types import Finding


def audit(
    task: TaskName = "sentiment",
    data: Data = "demo",
    lang: Lang = "all",
    out: Annotated[Path, typer.Option("--out", help="Run folder.")] = Path("runs/audit"),
    as_json: Json = False,
) -> None:
    """What in the data cannot be trusted, row by row. Exit code 3 when there are errors."""
    from spillover.audit.checks import audit_run
    from spillover.core.runs import open_run

    findings = audit_run(open_run(out), [task], data=data, languages=lang)
    path = out / "audit" / "findings.json"
    if as_json:
        print(path.read_text(encoding="utf-8"), end="")
    else:
        _print_findings(findings)
        print(f"wrote {path}")
    if any(finding.severity == "error" for finding in findings):
        sys.exit(3)


def _print_findings(findings: Sequence[Finding]) -> None:
    for finding in findings:
        ids = ", ".join(finding.example_ids[:3]) + (" ..." if len(finding.example_ids) > 3 else "")
        print(f"{finding.severity:<8} {finding.language:<4} {finding.check:<16} {finding.message} [{ids}]")
    print(f"{len(findings)} findings" if findings else "nothing found")
