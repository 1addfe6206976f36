"""What the page reads from the tables of scores: summaries, tokens, chance, and which two evaluations were compared."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from spillover.core.files import as_data_error
from spillover.core.runs import Run
from spillover.core.types import Evaluation
from spillover.stages.evaluate.score_tables import read_evaluation, read_scores
from spillover.stats.summary import Summary, summarise

# A label given to more of the items than this: accuracy is then mostly the share of that label.
ONE_LABEL = 0.95


def read_all_evaluations(run: Run) -> dict[Path, Evaluation]:
    """Every evaluation of the run that has scores, by its folder. DataError names a damaged table."""
    evaluations = {}
    for folder in run.evaluations():
        if folder.tables:
            with as_data_error(folder.path):
                evaluations[folder.path] = read_evaluation(folder.path)
    return evaluations


def chance(run: Run, task: str) -> float | None:
    """Accuracy of a guess, one in the number of labels; None where no table says how many there are."""
    for folder in run.evaluations():
        if folder.task == task and folder.tables:
            with as_data_error(folder.tables[0]):
                labels = read_scores(folder.tables[0])[0].labels
            return 1 / len(labels) if labels else None
    return None


def compared(run: Run, evaluations: dict[Path, Evaluation], task: str) -> list[tuple[Path, Evaluation]]:
    """(folder, evaluation) before and after, as the compare stage recorded them; empty when they are not here."""
    settings = run.manifest()["stages"].get("compare", {}).get("settings", {})
    sides = []
    for side in ("before", "after"):
        key = settings.get(side, {}).get(task)
        own = [(folder, one) for folder, one in evaluations.items() if key and one.key == key and one.task == task]
        sides += own[:1]
    return sides if len(sides) == 2 else []


def summaries(evaluations: dict[Path, Evaluation]) -> dict[Path, list[Summary]]:
    """Of every evaluation, a summary for each language. Made once: they take seconds over thousands of items."""
    return {folder: summarise(evaluation) for folder, evaluation in evaluations.items()}


def summary_tables(
    evaluations: dict[Path, Evaluation], summaries_by_folder: dict[Path, list[Summary]]
) -> list[dict[str, Any]]:
    """One for each evaluation: what the model answers, and what its items cost in tokens, by language."""
    tables = []
    for folder, evaluation in evaluations.items():
        rows: list[dict[str, Any]] = []
        for summary in summaries_by_folder[folder]:
            scores = evaluation.scores[summary.language]
            row = vars(summary) | {"tokens": float(np.mean(scores.tokens)) if len(scores.tokens) else float("nan")}
            if len(scores.label_tokens):
                row["label_tokens"] = dict(zip(scores.labels, scores.label_tokens[0].tolist(), strict=True))
            rows.append({"label_tokens": {}} | row)
        tables.append(
            {"model": folder.parent.name, "task": evaluation.task, "label_set": evaluation.label_set, "rows": rows}
            | {"name": evaluation.model.name, "fingerprint": evaluation.model.fingerprint}
        )
    return tables


def at_chance(language_summaries: Sequence[Summary]) -> list[str]:
    """Languages at chance: the interval of AUROC covers 0.5."""
    return [summary.language for summary in language_summaries if summary.at_chance]


def one_label(language_summaries: Sequence[Summary]) -> list[str]:
    """Languages in which nearly all items get one and the same answer."""
    return [one.language for one in language_summaries if one.predicted and max(one.predicted.values()) > ONE_LABEL]
