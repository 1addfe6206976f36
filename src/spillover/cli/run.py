"""`spillover run`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from spillover.cli.compare import print_comparison
from spillover.cli.config_options import SET_HELP
from spillover.cli.terminal import progress_bars


def run(
    config: Annotated[Path | None, typer.Argument(help="A YAML file.")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Run folder (default: runs/<name>).")] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", help=SET_HELP)] = None,
    limit: Annotated[int | None, typer.Option(help="Items per language (default: the config's).")] = None,
    help_config: Annotated[
        bool, typer.Option("--help-config", help="List every key with its default, range and meaning.")
    ] = False,
) -> None:
    """Run all stages of a config; resumes if interrupted."""
    from spillover.core.config import config_keys, load_config

    if help_config:
        for key in config_keys():
            print(f"{key.name}: {key.default}\n    {key.kind}. {key.description}")
        return
    if config is None:
        raise typer.BadParameter("give a config file, as in: spillover run examples/paper.yaml")
    checked = load_config(config, set_ or (), limit=limit)
    run_config(checked, out or Path("runs") / checked.name)


def run_config(config: Any, out: Path) -> None:
    """Run all stages with progress bars, then print the comparisons and the path of the page."""
    from spillover.pipeline import run as run_stages

    with progress_bars() as progress:
        result = run_stages(config, out, progress=progress)
    for comparison in result.comparisons:
        print_comparison(comparison)
    print(f"\nreport: {result.page}")
