"""`spillover findings`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from spillover.cli.terminal import print_list, show


def findings(
    folders: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Run folders, or folders of a sweep.")],
    out: Annotated[Path, typer.Option("--out", help="The page's file.")] = Path("findings.md"),
    claims: Annotated[Path | None, typer.Option(help="A YAML file of claims. [default: those of the paper]")] = None,
) -> None:
    """Write a Markdown page of what runs show of each claim: what holds, what does not, what is inconclusive.

    Runs are found by the name in their config, as examples/findings has them. Loads no model.
    """
    from spillover.stages.report.claims import read_claims
    from spillover.stages.report.findings_page import write_findings

    found = write_findings(folders, read_claims(claims), out)
    print_list(str(result) for result in found if result.folders)
    show(f"wrote {out}")
