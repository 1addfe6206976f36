"""`spillover sweep`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from spillover.cli.compare import print_comparisons
from spillover.cli.options import OnRay
from spillover.cli.terminal import progress_bars, show

if TYPE_CHECKING:
    from spillover.pipeline import Result
    from spillover.sweep import SweepResult


def sweep(
    config: Annotated[Path, typer.Argument(help="A YAML file with a `grid` of keys and values.")],
    out: Annotated[Path, typer.Option("--out", help="Folder of the runs.")] = Path("runs"),
    on: OnRay = None,
    print_commands: Annotated[
        bool, typer.Option("--print", help="Write a command for each cell, for a scheduler or xargs; run nothing.")
    ] = False,
    cell: Annotated[str | None, typer.Option(help="Run one cell of the grid, by its name.")] = None,
    collect: Annotated[
        bool, typer.Option("--collect", help="Compare the cells that are finished; run nothing.")
    ] = False,
) -> None:
    """Run a grid of configs, compare the first run with the others, and write one page of all."""
    from spillover.sweep import collect as collect_cells
    from spillover.sweep import commands, run_cell
    from spillover.sweep import sweep as run_grid

    if sum([print_commands, cell is not None, collect, on is not None]) > 1:
        raise typer.BadParameter("--on, --print, --cell and --collect are mutually exclusive")
    if print_commands:
        for command in commands(config, out):
            show(command)
        return
    if collect:
        _show(collect_cells(config, out))
        return
    with progress_bars() as progress:
        if cell is not None:
            result = run_cell(config, cell, out, progress=progress)
        else:
            swept = run_grid(config, out, on=on, progress=progress)
    if cell is not None:
        _show_verdicts(result)
        show(f"report: {result.page}")
    else:
        _show(swept)


def _show(result: SweepResult) -> None:
    """What was compared; then the cells without a result are one error."""
    for run in result.runs:
        _show_verdicts(run)
    print_comparisons(result.comparisons)
    if result.comparisons:
        show(f"wrote {result.runs[0].path / 'compare'}")
    if result.runs:
        show(f"wrote {result.page or result.runs[0].path}")
    if result.failure:
        raise result.failure


def _show_verdicts(run: Result) -> None:
    for comparison in run.comparisons:
        show(f"{run.path.name}: {comparison.verdict[0]}")
