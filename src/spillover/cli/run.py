"""`spillover run`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from spillover.cli.alternatives import print_alternatives
from spillover.cli.compare import print_comparisons
from spillover.cli.config_options import config_options
from spillover.cli.terminal import progress_bars, show, show_lines
from spillover.core.config import RunConfig
from spillover.core.config_reference import config_keys


def print_config_keys(asked: bool) -> None:
    """Every config key with its values, default and meaning; then the verb ends."""
    if asked:
        for key in config_keys():
            show(f"{key.name}: {key.default}")
            show_lines(f"    {key.kind}. {key.description}")
        raise typer.Exit


@config_options("limit")
def run(
    config: RunConfig,
    file: Annotated[Path, typer.Argument(metavar="CONFIG", help="A YAML file, as examples/paper-smollm2.yaml.")],
    out: Annotated[Path | None, typer.Option("--out", help="Run folder. [default: runs/<name>]")] = None,
    help_config: Annotated[
        bool,
        typer.Option(
            "--help-config", help="List every key of a config and exit.", callback=print_config_keys, is_eager=True
        ),
    ] = False,
) -> None:
    """Run all stages of a config; resumes if interrupted."""
    run_config(config, out or Path("runs") / config.name)


def run_config(config: RunConfig, out: Path) -> None:
    """Run all stages with progress bars, then print the comparisons, the alternatives and the path of the page."""
    from spillover.pipeline import run as run_stages

    with progress_bars() as progress:
        result = run_stages(config, out, progress=progress)
    print_comparisons(result.comparisons)
    for table in result.alternatives:
        show()
        print_alternatives(table)
    show()
    show(f"report: {result.page}")
