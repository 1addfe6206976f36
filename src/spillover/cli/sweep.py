"""`spillover sweep`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from spillover.cli.terminal import progress_bars, say


def sweep(
    config: Annotated[Path, typer.Argument(help="A YAML file with a `grid` of keys and values.")],
    out: Annotated[Path, typer.Option("--out", help="Folder of the runs.")] = Path("runs"),
) -> None:
    """A grid of runs from one config."""
    from spillover.pipeline import run as run_stages
    from spillover.sweep.grid import load_grid

    for point in load_grid(config):
        say(f"{point.name}")
        with progress_bars() as progress:
            result = run_stages(point, out / point.name, progress=progress)
        for comparison in result.comparisons:
            print(f"{point.name}: {comparison.verdict[0]}")
