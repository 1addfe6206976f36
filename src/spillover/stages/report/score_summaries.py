"""Summaries of the evaluations: what each model answers, and what its items cost in tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from spillover.core.types import Evaluation
from spillover.stats.summary import Summary, summarise


def summaries(evaluations: Mapping[Path, Evaluation]) -> dict[Path, list[Summary]]:
    """Of every evaluation, a summary for each language. Made once: they take seconds over thousands of items."""
    return {folder: summarise(evaluation) for folder, evaluation in evaluations.items()}


def summary_tables(
    evaluations: Mapping[Path, Evaluation], by_folder: Mapping[Path, Sequence[Summary]]
) -> list[dict[str, Any]]:
    """One for each evaluation: what the model answers, and what its items cost in tokens, by language."""
    return [
        {
            "model": folder.parent.name,
            "task": evaluation.task,
            "name": evaluation.model.title,
            "fingerprint": evaluation.model.fingerprint,
            "borrowed_wording": _borrowed_wording(by_folder[folder]),
            "rows": [_summary_row(evaluation, summary) for summary in by_folder[folder]],
        }
        for folder, evaluation in evaluations.items()
    ]


def _borrowed_wording(rows: Sequence[Summary]) -> dict[str, str]:
    """What is borrowed from which language → the codes of the languages that do."""
    texts = dict.fromkeys(row.borrowed_wording for row in rows if row.borrowed_wording)
    return {text: ", ".join(row.language for row in rows if row.borrowed_wording == text) for text in texts}


def _summary_row(evaluation: Evaluation, summary: Summary) -> dict[str, Any]:
    scores = evaluation.scores[summary.language]
    fixed = scores.kind == "labels" and len(scores.label_tokens)
    label_tokens = scores.label_tokens[0].tolist() if fixed else []
    return vars(summary) | {
        "tokens": float(np.mean(scores.tokens)) if len(scores.tokens) else float("nan"),
        "label_tokens": dict(zip(scores.labels, label_tokens, strict=False)),
    }
