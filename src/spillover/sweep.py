"""A grid of runs.

1. One config with a `grid` of dotted keys and values gives a RunConfig for each combination; `cases`, named settings of
   several keys that belong together, are one more dimension, the first.
2. Each is run into a folder of its own; scores of the base are computed once where the inputs are the same.
3. The first run is compared with the others, and all go onto one page.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from markupsafe import Markup

from spillover.core.config import RunConfig, check_config, put
from spillover.core.errors import ConfigError
from spillover.core.files import hash_of, read_yaml
from spillover.core.notebook import block, paragraph
from spillover.core.runs import existing_run
from spillover.core.types import Progress, no_progress
from spillover.pipeline import Result, run
from spillover.stages.compare.result import Comparison
from spillover.stages.compare.stage import compare_run
from spillover.stages.report import report

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class SweepResult:
    """The runs of a grid in its order, and, of several, the first against the others for each task and the page."""

    runs: tuple[Result, ...]
    comparisons: tuple[Comparison, ...] = ()
    page: Path | None = None

    def _repr_html_(self) -> str:
        """For a notebook: the page, and the first run against the others; of one run, that run."""
        if self.page is None:
            return block("", *(Markup(one._repr_html_()) for one in self.runs))
        names = ", ".join(one.path.name for one in self.runs)
        shown = [Markup(comparison._repr_html_()) for comparison in self.comparisons]
        return block(names, paragraph(f"page: {self.page}"), *shown)


def sweep(config: Path | str, out: Path | str = "runs", *, progress: Progress = no_progress) -> SweepResult:
    """Run every combination of the grid in the file `config` into the folder `out`; what is finished is skipped.

    ConfigError lists the mistakes of all combinations before the first one is run.
    """
    path, out = Path(config), Path(out)
    points = load_grid(path)
    folders = [out / point.name for point in points]
    runs: list[Result] = []
    for done, (point, folder) in enumerate(zip(points, folders, strict=True)):
        log.info("%s (%d of %d)", point.name, done + 1, len(points))
        runs.append(run(point, folder, earlier=folders[:done], progress=progress))
    if len(runs) == 1:
        return SweepResult(tuple(runs))
    others = [str(folder) for folder in folders[1:]]
    rules = points[0].compare.model_copy(update={"against": others})
    comparisons = compare_run(existing_run(folders[0]), config=rules, seed=points[0].seed)
    return SweepResult(tuple(runs), tuple(comparisons), report(*folders, title=path.stem, out=out / "report.html"))


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
