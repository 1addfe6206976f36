"""`spillover report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from spillover.cli.config_options import config_options
from spillover.cli.terminal import show
from spillover.core.config import RunConfig


@config_options("report.title")
def report(
    config: RunConfig,
    folders: Annotated[list[Path], typer.Argument(help="Run folder; further ones are added to the page of the first.")],
    out: Annotated[Path | None, typer.Option("--out", help="The page's file. [default: <run>/report.html]")] = None,
    figures: Annotated[
        str | None, typer.Option(help="Also the figures as files: svg,pdf,png,html.", metavar="FORMATS")
    ] = None,
    model_card: Annotated[
        bool, typer.Option("--model-card", help="Also model-card.md, as the Hugging Face hub reads it.")
    ] = False,
    licence: Annotated[str | None, typer.Option(help="Licence in the model card, as in apache-2.0.")] = None,
    latex: Annotated[bool, typer.Option("--latex", help="Also <run>/tables.tex, a table for each task.")] = False,
) -> None:
    """Write one HTML page from a run folder: <run>/report.html. Loads no model."""
    from spillover.core.errors import ConfigError
    from spillover.stages.report.stage import parse_formats, write_figures
    from spillover.stages.report.stage import report as write_page

    if licence and not model_card:
        raise ConfigError("--licence requires --model-card")
    formats = parse_formats(figures) if figures else []
    first = folders[0]
    show(f"wrote {write_page(*folders, title=config.report.title, out=out)}")
    if formats:
        written = write_figures(*folders, formats=formats)
        show(f"wrote {len(written)} files into {first / 'figures'}")
    if model_card:
        from spillover.stages.report.model_card import write_card

        show(f"wrote {write_card(first, licence=licence)}")
    if latex:
        from spillover.stages.report.stage import write_latex

        show(f"wrote {write_latex(first)}")
