"""Several runs on one page: what each was trained on, its result, and transfer from the ones to the others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from spillover.core.files import as_data_error
from spillover.core.languages import language
from spillover.core.runs import Run
from spillover.stages.build.arms import REAL_ARM
from spillover.stages.compare.comparison_files import FOLDER as COMPARE
from spillover.stages.compare.result import Comparison, Topic
from spillover.stages.compare.stage import training_languages
from spillover.stages.report.charts import Figure
from spillover.stages.report.figures.change_figures import transfer_figure
from spillover.stages.report.run_tables import run_comparisons

MAX_NAMES = 5


def runs_table(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """A row per run and task: name, trained_on, arm, seed, task, answer, change; a run that was not compared has a row
    without the last three."""
    rows: list[dict[str, Any]] = []
    for run in runs:
        manifest = run.manifest()
        seed = manifest["stages"].get("train", {}).get("settings", {}).get("seed", manifest.get("seed", ""))
        name = manifest.get("name") or run.path.name
        row = {"name": name, "trained_on": trained_on(run), "arm": arm_of(run), "seed": seed}
        comparisons = run_comparisons(run)
        rows += [row | _outcome(comparison) for comparison in comparisons]
        if not comparisons:
            rows.append(row | {"task": "", "answer": "", "change": ""})
    return rows


def transfer_figures(runs: Sequence[Run]) -> list[Figure]:
    """One for each task that two or more runs were compared on."""
    by_task: dict[str, dict[str, Comparison]] = {}
    for run in runs:
        label = trained_on(run) or "not recorded"
        label += f" ({arm_of(run)})" if arm_of(run) not in ("", REAL_ARM) else ""
        for comparison in run_comparisons(run):
            labelled = by_task.setdefault(comparison.task, {})
            labelled[label if label not in labelled else f"{label}, {run.path.name}"] = comparison
    with as_data_error(runs[0].path / COMPARE / "languages.parquet"):
        return [transfer_figure(list(labelled.items())) for labelled in by_task.values() if len(labelled) > 1]


def trained_on(run: Run) -> str:
    """The languages of its training pairs by name."""
    names = [language(code).name for code in training_languages(run)]
    return ", ".join(names) if len(names) <= MAX_NAMES else f"{len(names)} languages"


def arm_of(run: Run) -> str:
    """The arm that its training pairs are; "" where none were built."""
    return str(run.manifest()["stages"].get("build", {}).get("facts", {}).get("arm", ""))


def _outcome(comparison: Comparison) -> dict[str, Any]:
    numbers = next((sentence.numbers for sentence in comparison.about(Topic.HEADLINE)), {})
    reasons = list(numbers.get("why", ()))
    return {"task": comparison.task, "answer": numbers.get("answer", ""), "change": reasons[0] if reasons else ""}
