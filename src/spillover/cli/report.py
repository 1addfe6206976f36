"""`spillover report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def report(
    folder: Annotated[Path, typer.Argument(help="Run folder.")],
    title: Annotated[str | None, typer.Option(help="Heading of the page.")] = None,
) -> None:
    """One HTML page from a run folder: <run>/report.html. Loads no model."""
    from spillover.report.page import report as write

    print(f"wrote {write(folder, title=title)}")
