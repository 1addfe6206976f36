"""What runs show of claims as one Markdown page, made from run folders: it can be made again."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from spillover.core.durations import duration
from spillover.core.files import atomic
from spillover.stages.report.claims import ClaimResult, Claims, Verdict, findings
from spillover.stages.report.page import template


def write_findings(paths: Sequence[Path], claims: Claims, out: Path) -> list[ClaimResult]:
    """What runs show of each claim, after the page was written to the file `out`. Errors as `findings`."""
    found = findings(paths, claims.claims)
    out.parent.mkdir(parents=True, exist_ok=True)
    with atomic(out) as partial:
        partial.write_text(findings_page(found, claims.settle), encoding="utf-8")
    return found


def findings_page(found: Sequence[ClaimResult], settle: str = "") -> str:
    """The page: a table of all claims, then a section for each that was tested, then what would settle them. Texts of
    runs and claims are text in it, never markup; `settle` is Markdown."""
    return template("findings.md.j2", autoescape=False).render(
        results=found,
        sections=[_section(result) for result in found if result.verdict is not Verdict.NOT_RUN],
        settle=settle,
    )


def _section(result: ClaimResult) -> dict[str, object]:
    return {
        "result": result,
        "models": sorted({run.before.model.name for cell in result.cells for run in cell.runs}),
        "took": duration(result.seconds),
    }
