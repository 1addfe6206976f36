"""Everything that the page shows, gathered from run folders. A stage that is missing leaves its part out."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from spillover.core.files import as_data_error
from spillover.core.languages import language
from spillover.core.runs import Run
from spillover.core.tables import csv_text, records
from spillover.core.types import Evaluation, Finding
from spillover.stages.alternatives.result import Alternatives
from spillover.stages.alternatives.result_files import FOLDER as ALTERNATIVES
from spillover.stages.alternatives.result_files import first_translations, read_alternatives
from spillover.stages.audit.answer_lengths import LengthRow, length_table
from spillover.stages.audit.findings import read_findings
from spillover.stages.compare.all_tasks import rows_of_all_tasks
from spillover.stages.compare.comparison_files import FOLDER as COMPARE
from spillover.stages.compare.language_groups import group_title
from spillover.stages.compare.measures import ACCURACY, BY_METRIC, Measure
from spillover.stages.compare.result import Comparison, Topic
from spillover.stages.report.charts import Figure
from spillover.stages.report.figures.alignment_figures import alignment_figures
from spillover.stages.report.figures.alternatives_figures import alternatives_figure
from spillover.stages.report.figures.change_figures import comparison_figures
from spillover.stages.report.figures.identity_figures import language_identity_figures
from spillover.stages.report.figures.lens_figures import lens_figures
from spillover.stages.report.figures.pca_figures import pca_figures
from spillover.stages.report.figures.training_figures import read_steps, stop_reason, training_figures
from spillover.stages.report.flips import flipped_items
from spillover.stages.report.multi_run import runs_table, transfer_figures
from spillover.stages.report.page import figure_block
from spillover.stages.report.provenance import WordingRow, config_text, missing_parts, stage_rows, wordings
from spillover.stages.report.run_tables import (
    chance,
    compared_sides,
    read_all_evaluations,
    read_compare_table,
    read_probe_tables,
    run_comparisons,
)
from spillover.stages.report.score_summaries import summaries, summary_tables
from spillover.stages.report.warnings import run_facts, warnings
from spillover.stats.summary import Summary

LENS_COLUMNS = ("answer_clears", "answer_low", "answer_high", "rank", "shared_tokens")
QUESTION_COLUMNS = (
    "turned", "move", "n_turned", "n_others", "share_turned", "share_others", "effect", "p", "holm_p", "reason",
)  # fmt: skip


def page_content(runs: Sequence[Run]) -> dict[str, Any]:
    """The values of the template: those of the first run, and a part on all of them."""
    run = runs[0]
    comparisons, evaluations = run_comparisons(run), read_all_evaluations(run)
    by_folder = summaries(evaluations)
    findings = _findings(run)
    wording = wordings(_used_languages(comparisons, evaluations))
    several = len(runs) > 1
    return {
        "manifest": run.manifest(),
        "facts": run_facts(run, list(evaluations.values()), comparisons),
        "tasks": [_task_part(run, one, evaluations, by_folder, findings, wording) for one in comparisons],
        "all_tasks": _all_tasks(comparisons),
        "alternatives": [_alternatives_part(run, result) for result in read_alternatives(run.path / ALTERNATIVES)],
        "evaluations": summary_tables(evaluations, by_folder),
        "findings": findings,
        "answer_lengths": _answer_lengths(run, findings or ()),
        "training": _training(run),
        "inside": [figure_block(figure) for figure in probe_figures(run)],
        "last_layer": _last_layer(run),
        "questions": _questions(run),
        "wording": wording,
        "runs": runs_table(runs) if several else [],
        "transfer": [figure_block(figure) for figure in transfer_figures(runs)] if several else [],
        "stages": stage_rows(run.manifest()),
        "missing": missing_parts(run, comparisons),
        "config": config_text(run),
        "folder": run.path.name,
        "samples": [
            {"language": language(row.language).name, "text": row.label_words}
            for rows in wording.values()
            for row in rows
        ],
    }


def task_figures(run: Run, comparison: Comparison) -> dict[str, Figure]:
    """The figures of one task by subject. DataError names the folder whose tables are of another shape."""
    with as_data_error(run.path / COMPARE):
        return comparison_figures(comparison, chance(run, comparison.task))


def probe_figures(run: Run) -> list[Figure]:
    """The figures of the probe's tables, and of those that compare made of them, in the order of the page."""
    return [*lens_figures(run), *pca_figures(run), *alignment_figures(run), *language_identity_figures(run)]


def run_figures(run: Run) -> list[Figure]:
    """Every figure that the run's tables allow, in the order of the page."""
    figures = [figure for one in run_comparisons(run) for figure in task_figures(run, one).values()]
    figures += [alternatives_figure(result) for result in read_alternatives(run.path / ALTERNATIVES)]
    return [*figures, *training_figures(run.path / "train" / "steps.jsonl"), *probe_figures(run)]


def _findings(run: Run) -> list[Finding] | None:
    """The audit's findings; None where it was not run."""
    path = run.path / "audit" / "findings.json"
    if not path.exists():
        return None
    with as_data_error(path):
        return list(read_findings(path))


def _answer_lengths(run: Run, findings: Sequence[Finding]) -> list[LengthRow]:
    """What the length of answers gives away, as the audit found it."""
    with as_data_error(run.path / "audit" / "findings.json"):
        return length_table(findings)


def _used_languages(
    comparisons: Sequence[Comparison], evaluations: Mapping[Path, Evaluation]
) -> dict[str, list[str]]:  # fmt: skip
    """The languages that were compared or evaluated, by task."""
    used: dict[str, dict[str, None]] = {}
    for comparison in comparisons:
        used.setdefault(comparison.task, {}).update(dict.fromkeys(comparison.languages["language"]))
    for evaluation in evaluations.values():
        used.setdefault(evaluation.task, {}).update(dict.fromkeys(evaluation.scores))
    return {task: list(codes) for task, codes in used.items()}


def _all_tasks(comparisons: Sequence[Comparison]) -> list[dict[str, Any]]:
    """All tasks under one correction; empty where there is one task."""
    table = rows_of_all_tasks(comparisons)
    rows = [] if table is None else records(table)
    return [row | {"group": group_title(row["group"], row["kind"]), "measure": _measure_of(row)} for row in rows]


def _measure_of(row: Mapping[str, Any]) -> Measure:
    """How a row's change is written. Tables of earlier versions are all of accuracy; so is the label-bias component."""
    return BY_METRIC.get(row.get("metric", ""), ACCURACY)


def _group_rows(comparison: Comparison) -> list[dict[str, Any]]:
    """The rows of the table of groups, with their titles."""
    rows = []
    for row in records(comparison.groups):
        measure = _measure_of(row)
        title = "label-bias component" if row["metric"] == "prior_repair" else measure.title
        title += " (primary)" if row["metric"] == comparison.measure.metric else ""
        rows.append(row | {"group": group_title(row["group"], row["kind"]), "measure": measure, "title": title})
    return rows


def _task_part(
    run: Run,
    comparison: Comparison,
    evaluations: Mapping[Path, Evaluation],
    by_folder: Mapping[Path, Sequence[Summary]],
    findings: Sequence[Finding] | None,
    wording: Mapping[str, Sequence[WordingRow]],
) -> dict[str, Any]:
    """What the page shows of one task."""
    task, languages = comparison.task, comparison.languages
    sides = compared_sides(run, evaluations, task)
    after = by_folder[sides[-1][0]] if sides else []
    figures = task_figures(run, comparison)
    headlines = comparison.about(Topic.HEADLINE)
    shown_elsewhere = (Topic.HEADLINE, Topic.NOTE, Topic.EXPLANATION)
    return {
        "task": task,
        "level": f"{100 * comparison.level:g}",
        "headline": headlines[0].numbers if headlines else None,
        "sentences": [sentence.text for sentence in comparison.verdict if sentence.about not in shown_elsewhere],
        "explanation": [sentence.text for sentence in comparison.about(Topic.EXPLANATION)],
        "warnings": warnings(comparison, after, findings, wording.get(task, ())),
        "figures": dict.fromkeys(("components", "placebo", "seeds"))
        | {subject: figure_block(figure, with_svg=subject == "change") for subject, figure in figures.items()},
        "languages": records(languages),
        "groups": _group_rows(comparison),
        "measure": comparison.measure,
        "chosen": comparison.chosen,
        "secondary": comparison.secondary,
        "csv": base64.b64encode(csv_text(languages).encode()).decode(),
        "flips": _flips(sides, list(languages["language"])) if sides else None,
    }


def _flips(sides: Sequence[tuple[Path, Evaluation]], codes: Sequence[str]) -> dict[str, Any]:
    before, after = sides
    return flipped_items(before, after) | {"names": {code: language(code).name for code in codes}}


def _alternatives_part(run: Run, result: Alternatives) -> dict[str, Any]:
    """What the page shows of the alternatives on one task."""
    rows = [row | {"group": group_title(row["group"], "all")} for row in records(result.rows)]
    figure = figure_block(alternatives_figure(result))
    return {
        "result": result,
        "figure": figure,
        "rows": rows,
        "level": f"{100 * result.level:g}",
        "translations": records(result.translations),
        "examples": first_translations(run.path, result),
        "reasons": [text for text in dict.fromkeys(result.translations["reason"]) if text],
    }


def _training(run: Run) -> dict[str, Any] | None:
    path = run.path / "train" / "steps.jsonl"
    if not path.exists():
        return None
    facts = run.manifest()["stages"].get("train", {}).get("facts", {})
    figures = [figure_block(figure) for figure in training_figures(path)]
    return {"figures": figures, "stop_reason": stop_reason(read_steps(path)), "best": facts.get("best")}


def _questions(run: Run) -> list[dict[str, Any]]:
    """Do flipped predictions and changed states go together: a row per question."""
    table = read_compare_table(run, "questions", QUESTION_COLUMNS)
    return [] if table is None else records(table)


def _last_layer(run: Run) -> list[dict[str, Any]]:
    """The lens of the last layer: a row per model, language and target set."""
    lens = read_probe_tables(run, "lens", LENS_COLUMNS)
    return [] if lens is None else records(lens[lens["layer"] == lens["layer"].max()])
