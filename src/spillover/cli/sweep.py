"""`spillover sweep`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from spillover.cli.compare import print_comparison
from spillover.cli.terminal import progress_bars, say


def sweep(
    config: Annotated[Path, typer.Argument(help="A YAML file with a `grid` of keys and values.")],
    out: Annotated[Path, typer.Option("--out", help="Folder of the runs.")] = Path("runs"),
) -> None:
    """A grid of runs from one config, then the first run against the others, and one page of all."""
    from spillover.core.runs import existing_run
    from spillover.pipeline import run as run_stages
    from spillover.stages.compare.stage import compare_run
    from spillover.stages.report import report
    from spillover.sweep import load_grid

    points = load_grid(config)
    folders = [out / point.name for point in points]
    for done, point in enumerate(points):
        say(f"{point.name}")
        with progress_bars() as progress:
            result = run_stages(point, folders[done], earlier=folders[:done], progress=progress)
        for comparison in result.comparisons:
            print(f"{point.name}: {comparison.verdict[0]}")
    if len(points) > 1:
        against = points[0].compare.model_copy(update={"against": [str(folder) for folder in folders[1:]]})
        for comparison in compare_run(existing_run(folders[0]), config=against, seed=points[0].seed):
            print_comparison(comparison)
        print(f"wrote {folders[0] / 'compare'}")
        print(f"wrote {report(*folders, title=str(config.stem), out=out / 'report.html')}")
