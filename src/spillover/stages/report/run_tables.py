"""What the page reads from a run folder: evaluations, comparisons, the tables of probe and compare."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from spillover.core.files import as_data_error, read_table
from spillover.core.runs import Run
from spillover.core.types import Evaluation
from spillover.stages.compare.comparison_files import FOLDER as COMPARE
from spillover.stages.compare.comparison_files import read_comparisons
from spillover.stages.compare.result import Comparison
from spillover.stages.evaluate.score_tables import read_evaluation, read_scores
from spillover.stats.summary import chance as chance_of_scores

if TYPE_CHECKING:
    import pandas as pd


def read_all_evaluations(run: Run) -> dict[Path, Evaluation]:
    """Every evaluation of the run that has scores, by its folder. DataError names a damaged table."""
    evaluations = {}
    for folder in run.evaluations():
        if folder.tables:
            with as_data_error(folder.path):
                evaluations[folder.path] = read_evaluation(folder.path)
    return evaluations


def run_comparisons(run: Run) -> list[Comparison]:
    """The comparisons of a run; none where it was not compared."""
    folder = run.path / COMPARE
    return read_comparisons(folder) if (folder / "verdict.json").exists() else []


def compared_sides(
    run: Run, evaluations: Mapping[Path, Evaluation], task: str
) -> list[tuple[Path, Evaluation]]:  # fmt: skip
    """(folder, evaluation) before and after, as the compare stage recorded them; empty when they are not here."""
    settings = run.manifest()["stages"].get(COMPARE, {}).get("settings", {})
    sides = []
    for side in ("before", "after"):
        key = settings.get(side, {}).get(task)
        matching = [item for item in evaluations.items() if key and item[1].key == key and item[1].task == task]
        sides += matching[:1]
    return sides if len(sides) == 2 else []


def chance(run: Run, task: str) -> float | None:
    """Accuracy of a guess, one in the number of an item's answers; None where no table says how many there are."""
    for folder in run.evaluations():
        if folder.task == task and folder.tables:
            with as_data_error(folder.tables[0]):
                accuracy = chance_of_scores(read_scores(folder.tables[0])[0])
            return None if math.isnan(accuracy) else accuracy
    return None


def read_probe_tables(run: Run, name: str, columns: Sequence[str] = ()) -> pd.DataFrame | None:
    """A table of every probed model, one under the other, with a column `model`; None where there is none. DataError
    names a file that is damaged or lacks one of these columns."""
    import pandas as pd

    paths = sorted((run.path / "probe").glob(f"*/{name}.parquet"))
    tables = [read_table(path, columns).assign(model=path.parent.name) for path in paths]
    return pd.concat(tables, ignore_index=True) if tables else None


def read_compare_table(run: Run, name: str, columns: Sequence[str] = ()) -> pd.DataFrame | None:
    """A table of the compare stage; None where there is none. DataError as in `read_probe_tables`."""
    path = run.path / COMPARE / f"{name}.parquet"
    return read_table(path, columns) if path.exists() else None
