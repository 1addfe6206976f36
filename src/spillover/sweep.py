"""A grid of runs, its cells.

1. One config with a `grid` of dotted keys and values gives a RunConfig for each combination; `cases`, named settings of
   several keys that belong together, are one more dimension, the first.
2. Each is run into a folder of its own; trainings and scores are computed once where their inputs are the
   same, also across the sweeps of one folder. All in a row (`sweep`), or each by a command of its own, at the same
   time and on other machines (`commands`, `run_cell`).
3. The first run is compared with the others, and all go onto one page, named as the config is (`collect`).
"""

from __future__ import annotations

import logging
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any, Literal

from markupsafe import Markup

from spillover.core.config import RunConfig, check_config, put
from spillover.core.errors import ConfigError, RunError, SpilloverError
from spillover.core.files import hash_of, read_yaml
from spillover.core.notebook import block, paragraph
from spillover.core.runs import MANIFEST, existing_run
from spillover.core.types import Progress, no_progress
from spillover.pipeline import Result, finished_result, run
from spillover.stages.compare.result import Comparison
from spillover.stages.compare.stage import compare_run
from spillover.stages.report import report

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class SweepResult:
    """The finished runs of a grid in its order, and, of several, the first against the others for each task and the
    page. failed: why each other cell has no result, by its name."""

    runs: tuple[Result, ...]
    comparisons: tuple[Comparison, ...] = ()
    page: Path | None = None
    failed: Mapping[str, SpilloverError] = field(default_factory=dict)

    @property
    def failure(self) -> SpilloverError | None:
        """One error that names every cell without a result; of the kind of the first one's. None when there is none."""
        if not self.failed:
            return None
        first = next(iter(self.failed.values()))
        reasons = "; ".join(f"{name} ({error.problems[0]})" for name, error in self.failed.items())
        cells = len(self.failed) + len(self.runs)
        return type(first)(
            f"{len(self.failed)} of {cells} cells have no result: {reasons}",
            hint=first.hint if len(self.failed) == 1 else "run them again (`--print` writes their commands)",
        )

    def _repr_html_(self) -> str:
        """For a notebook: the page, and the first run against the others; of one run, that run."""
        if self.page is None:
            return block("", *(Markup(one._repr_html_()) for one in self.runs))
        names = ", ".join(one.path.name for one in self.runs)
        shown = [Markup(comparison._repr_html_()) for comparison in self.comparisons]
        return block(names, paragraph(f"page: {self.page}"), *shown)


def sweep(
    config: Path | str,
    out: Path | str = "runs",
    *,
    on: Literal["ray"] | None = None,
    progress: Progress = no_progress,
) -> SweepResult:
    """Run every combination of the grid in the file `config` into the folder `out`; what is finished is skipped.

    on: "ray" runs them as tasks of Ray; a cell that fails is in `failed`, and the others go on. None: one after the
    other here; the first error ends it. ConfigError lists the mistakes of all combinations before the first one is run.
    """
    path, out = Path(config), Path(out)
    cells = load_grid(path)
    folders = cell_folders(cells, out)
    if on == "ray":
        from spillover.sweep_ray import run_on_ray

        others = [other_folders(folders, folder) for folder in folders]
        failed = run_on_ray(cells, folders, others, progress=progress)
        results = {cell.name: finished_result(cell, folder) for cell, folder in zip(cells, folders, strict=True)}
        finished = {name: result for name, result in results.items() if result and name not in failed}
        return _gathered(path, cells, finished, out, failed)
    runs: list[Result] = []
    for done, (cell, folder) in enumerate(zip(cells, folders, strict=True)):
        log.info("%s (%d of %d)", cell.name, done + 1, len(cells))
        runs.append(run(cell, folder, other_runs=other_folders(folders, folder), progress=progress))
    return _gathered(path, cells, {cell.name: result for cell, result in zip(cells, runs, strict=True)}, out, {})


def collect(config: Path | str, out: Path | str = "runs") -> SweepResult:
    """Compare the cells that are finished in the folder `out`, and write their page; no model is loaded. Cells that are
    not finished are in `failed`, with the command that runs them."""
    path, out = Path(config), Path(out)
    cells = load_grid(path)
    finished, failed = {}, {}
    for cell, folder, command in zip(cells, cell_folders(cells, out), commands(path, out), strict=True):
        if result := finished_result(cell, folder):
            finished[cell.name] = result
        else:
            failed[cell.name] = RunError(f"{folder}: not finished", hint=command)
    return _gathered(path, cells, finished, out, failed)


def commands(config: Path | str, out: Path | str = "runs") -> list[str]:
    """A shell command for each cell, which runs it alone; in any order, at the same time, again to resume."""
    return [
        shlex.join(["spillover", "sweep", str(config), "--out", str(out), "--cell", cell.name])
        for cell in load_grid(Path(config))
    ]


def run_cell(config: Path | str, name: str, out: Path | str = "runs", *, progress: Progress = no_progress) -> Result:
    """Run one cell of the grid by its name, beside others that run at the same time. ConfigError where the grid has no
    such cell."""
    cells = load_grid(Path(config))
    folders = cell_folders(cells, Path(out))
    for cell, folder in zip(cells, folders, strict=True):
        if cell.name == name:
            return run(cell, folder, other_runs=other_folders(folders, folder), progress=progress)
    raise ConfigError(
        f"{config}: the grid has no cell {name!r}", hint=f"it has {', '.join(cell.name for cell in cells)}"
    )


def cell_folders(cells: Sequence[RunConfig], out: Path) -> list[Path]:
    """The run folder of each cell."""
    return [out / cell.name for cell in cells]


def other_folders(folders: Sequence[Path], own: Path) -> list[Path]:
    """The folders that a cell takes scores and trainings over from where the inputs are the same: those of the other
    cells, and every run beside it, of another sweep or of `spillover run`."""
    beside = (manifest.parent for manifest in sorted(own.parent.glob(f"*/{MANIFEST}")))
    return [folder for folder in dict.fromkeys([*folders, *beside]) if folder != own]


def _gathered(
    path: Path,
    cells: Sequence[RunConfig],
    finished: Mapping[str, Result],
    out: Path,
    failed: Mapping[str, SpilloverError],
) -> SweepResult:
    """The runs by cell, with the first cell compared with the others and the page where there are several."""
    runs = [finished[cell.name] for cell in cells if cell.name in finished]
    if len(runs) < 2:
        return SweepResult(tuple(runs), failed=failed)
    folders = [result.path for result in runs]
    comparisons: list[Comparison] = []
    if cells[0].name in finished:
        rules = cells[0].compare.model_copy(update={"against": [str(folder) for folder in folders[1:]]})
        comparisons = compare_run(existing_run(folders[0]), config=rules, seed=cells[0].seed)
    page = report(*folders, title=path.stem, out=out / f"{path.stem}.html")
    return SweepResult(tuple(runs), tuple(comparisons), page, failed)


def load_grid(path: Path) -> list[RunConfig]:
    """Every combination of the grid's values over the rest of the file, for each case in turn; names end in the case's
    name and a hash of the values.

    ConfigError lists what is wrong in any of them before the first one is run.
    """
    values = dict(read_yaml(path))
    cases = _cases(path, values)
    grid = values.pop("grid", None if "" in cases else {})
    if not isinstance(grid, dict) or not all(isinstance(choices, list) for choices in grid.values()):
        raise ConfigError(
            f"{path}: grid: expected keys with lists of values", hint="grid: {build.sources: [[es], [de]]}"
        )
    if not grid and "" in cases:
        raise ConfigError(f"{path}: grid: no key in it", hint="grid: {build.sources: [[es], [de]]}")
    configs: list[RunConfig] = []
    problems: list[str] = []
    for (case, of_case), *choice in product(cases.items(), *grid.values()):
        settings = of_case | dict(zip(grid, choice, strict=True))
        point: dict[str, Any] = dict(values)
        for key, value in settings.items():
            put(point, key.split("."), value, problems)
        names = [str(values.get("name", path.stem)), *([case] if case else []), hash_of(settings)[:8]]
        point["name"] = "-".join(names)
        configs.append(check_config(point, source=f"{path} {settings}", problems=problems))
    return configs


def _cases(path: Path, values: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The cases that are taken out of `values`, by name; one without name and settings where the file has none."""
    cases = values.pop("cases", {"": {}})
    if not isinstance(cases, dict) or not cases or not all(isinstance(own, dict) for own in cases.values()):
        raise ConfigError(
            f"{path}: cases: expected names with keys and values", hint="cases: {two: {build.sources: [es, de]}}"
        )
    return {str(name): own for name, own in cases.items()}
