"""`spillover report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def report(
    folder: Annotated[Path, typer.Argument(help="Run folder.")],
    title: Annotated[str | None, typer.Option(help="Heading of the page.")] = None,
    figures: Annotated[
        str | None, typer.Option(help="Also the probe's figures as files: svg,pdf,png,html.", metavar="FORMATS")
    ] = None,
) -> None:
    """One HTML page from a run folder: <run>/report.html. Loads no model."""
    from spillover.report.figures import check_formats, write_figures
    from spillover.report.page import report as write

    formats = check_formats(figures.split(",")) if figures else []
    print(f"wrote {write(folder, title=title)}")
    if formats:
        written = write_figures(folder, formats)
        print(f"wrote {len(written)} files into {folder / 'figures'}")
