"""`spillover sweep`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from spillover.cli.compare import print_comparisons
from spillover.cli.terminal import progress_bars, show


def sweep(
    config: Annotated[Path, typer.Argument(help="A YAML file with a `grid` of keys and values.")],
    out: Annotated[Path, typer.Option("--out", help="Folder of the runs.")] = Path("runs"),
) -> None:
    """Run a grid of configs, compare the first run with the others, and write one page of all."""
    from spillover.sweep import sweep as run_grid

    with progress_bars() as progress:
        result = run_grid(config, out, progress=progress)
    for run in result.runs:
        for comparison in run.comparisons:
            show(f"{run.path.name}: {comparison.verdict[0]}")
    print_comparisons(result.comparisons)
    if result.page:
        show(f"wrote {result.runs[0].path / 'compare'}")
    show(f"wrote {result.page or result.runs[0].path}")
