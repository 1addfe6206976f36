"""Several runs on one page: what each was trained on and what came of it, and transfer from the ones to the others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from spillover.core.config import REAL_ARM
from spillover.core.files import as_data_error
from spillover.core.languages import language
from spillover.core.runs import Run
from spillover.stages.compare.comparison_files import FOLDER as COMPARE
from spillover.stages.compare.comparison_files import read_comparisons
from spillover.stages.compare.result import Comparison
from spillover.stages.compare.stage import training_languages
from spillover.stages.report.change_charts import transfer_figure
from spillover.stages.report.charts import Figure

NAMED = 5


def runs_table(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """A row per run and task: name, what it was trained on, arm, seed, the answer and the change; a run that was not
    compared has a row without them."""
    rows: list[dict[str, Any]] = []
    for run in runs:
        about = {"name": run.manifest().get("name") or run.path.name, "trained": trained_on(run)}
        about |= {"arm": _built(run).get("arm", ""), "seed": _seed(run), "task": "", "answer": "", "why": ""}
        found = comparisons(run)
        rows += [about | _outcome(one) for one in found] if found else [about]
    return rows


def transfer_figures(runs: Sequence[Run]) -> list[Figure]:
    """One for each task that two or more runs were compared on."""
    named: dict[str, list[tuple[str, Comparison]]] = {}
    for run in runs:
        for found in comparisons(run):
            label = trained_on(run) or "nothing recorded"
            arm = _built(run).get("arm", "")
            label += f" ({arm})" if arm not in ("", REAL_ARM) else ""
            own = named.setdefault(found.task, [])
            own.append((label if label not in dict(own) else f"{label}, {run.path.name}", found))
    figures = []
    for rows in named.values():
        if len(rows) > 1:
            with as_data_error(runs[0].path / COMPARE / "languages.parquet"):
                figures.append(transfer_figure(rows))
    return figures


def comparisons(run: Run) -> list[Comparison]:
    """Those of the run; none where it was not compared."""
    folder = run.path / COMPARE
    return read_comparisons(folder) if (folder / "verdict.json").exists() else []


def trained_on(run: Run) -> str:
    """The languages of its training pairs by name."""
    names = [language(code).name for code in training_languages(run)]
    return ", ".join(names) if len(names) <= NAMED else f"{len(names)} languages"


def _outcome(found: Comparison) -> dict[str, Any]:
    numbers = next((one.numbers for one in found.verdict if one.about == "headline"), {})
    why = list(numbers.get("why", [""]))
    return {"task": found.task, "answer": numbers.get("answer", ""), "why": why[0]}


def _built(run: Run) -> dict[str, Any]:
    return dict(run.manifest()["stages"].get("build", {}).get("facts", {}))


def _seed(run: Run) -> Any:
    manifest = run.manifest()
    return manifest["stages"].get("train", {}).get("settings", {}).get("seed", manifest.get("seed", ""))
