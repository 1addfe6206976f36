"""Logs of lm-evaluation-harness on tasks of `spillover export lm-eval`: scores as those of our own evaluations.

Each row of such a task says in the log which item it is of, so its scores pair with ours, under every length rule whose
lengths are known: the harness does not log how many tokens an answer has.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from spillover.core.errors import DataError
from spillover.core.types import Experiment, LabelScores
from spillover.tasks.harness_rows import HarnessRow, ItemFacts

OF_THE_ITEM = {"id", "content", "cluster"}


@dataclass(frozen=True)
class ExportedTask:
    """What a log says of the task that was exported. experiment: precision and tokenizer are unknown, and so is the
    chat template where prompts are not those that were exported."""

    task: str
    language: str
    experiment: Experiment


def exported_task(rows: Sequence[HarnessRow], place: str, *, as_exported: bool) -> ExportedTask:
    """The task and language of all rows. as_exported: whether the model read the exported prompts. place: the file, for
    the message of a DataError where they are of several."""
    first = rows[0].spillover
    if any(_of_the_task(row.spillover) != _of_the_task(first) for row in rows):
        raise DataError(f"{place}: items of several tasks or languages", hint="log each task into a file of its own")
    settings = Experiment(
        first.wording, first.template, first.label_set, first.shots, "exact", (), "", "", "off" if as_exported else ""
    )
    return ExportedTask(first.task, first.language, settings)


def _of_the_task(facts: ItemFacts) -> dict[str, object]:
    return facts.model_dump(exclude=OF_THE_ITEM)


def exported_scores(rows: Sequence[HarnessRow], logprobs: Sequence[Sequence[float]]) -> LabelScores:
    """The scores of exported items. logprobs: of each item's answers, as many as it has choices."""
    facts = rows[0].spillover
    shape = (len(rows), len(facts.labels))
    values, answer_bytes = np.full(shape, -np.inf, np.float32), np.zeros(shape, np.int32)
    for i, (row, of_row) in enumerate(zip(rows, logprobs, strict=True)):
        values[i, : len(of_row)] = of_row
        answer_bytes[i, : len(row.choices)] = [len(choice.encode()) for choice in row.choices]
    unknown = np.zeros(shape, np.int32)  # numbers of tokens
    return LabelScores(
        language=facts.language,
        labels=facts.labels,
        example_ids=tuple(row.spillover.id for row in rows),
        gold=np.array([row.target for row in rows], dtype=np.int64),
        logprobs=values,
        tokens=unknown[:, 0],
        label_tokens=unknown,
        content=tuple(row.spillover.content for row in rows),
        kind=facts.kind,
        length=facts.length,
        answer_bytes=None if facts.kind == "labels" else answer_bytes,
        clusters=tuple(row.spillover.cluster for row in rows if row.spillover.cluster is not None),
    )
