"""Items as rows of data for lm-evaluation-harness, and back from its log: the one place that knows their columns.

`prompt`, `choices` and `target` are what the harness reads. `spillover` it only copies into its log, so that a log says
by itself which items it is of, in our ids and with the hash of each item's text.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from spillover.core.errors import DataError, first_problem
from spillover.core.files import hash_of
from spillover.core.types import Kind, Length, Prompt, Task
from spillover.tasks.prompts import answer_slot

COLUMN = "spillover"


class ItemFacts(BaseModel):
    """What the harness does not read. labels: as in `LabelScores`, label ids or indices of the item's own answers.
    label_set: as in `Evaluation`. wording, template: as in `Experiment`."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    task: str
    language: str
    id: str
    content: str
    cluster: str | None
    kind: Kind
    length: Length
    labels: tuple[str, ...]
    label_set: str
    shots: str
    wording: str
    template: str


class HarnessRow(BaseModel):
    """One item. prompt: shots and question, up to where an answer starts; empty for a pair. choices: the answers,
    without the blank that stands before each of them. target: index of the right one."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    prompt: str
    choices: tuple[str, ...]
    target: int
    spillover: ItemFacts


def blank_before_answers(task: Task) -> str:
    """What stands between prompt and answer and is scored with the answer; the harness's `target_delimiter`."""
    return answer_slot(task)[1] if task.kind == "choices" else ""


def harness_rows(task: Task, prompts: Sequence[Prompt], *, label_set: str, shots: str) -> list[HarnessRow]:
    """A row for each prompt. DataError for a prompt that ends in whitespace, which the harness would score as a part of
    the answer, and for an item without a label."""
    template, blank = hash_of(task.template), blank_before_answers(task)
    rows = []
    for prompt in prompts:
        place = f"{task.name}, {prompt.language}, item {prompt.example_id}"
        if prompt.gold is None:
            raise DataError(f"{place}: no label", hint="give every test item its label")
        if prompt.text != prompt.text.rstrip():
            raise DataError(
                f"{place}: its prompt ends in whitespace ({prompt.text[-12:]!r}), which lm-eval scores with the answer",
                hint="strip the last field of its row",
            )
        facts = ItemFacts(
            task=task.name, language=prompt.language, id=prompt.example_id, content=prompt.content,
            cluster=prompt.cluster, kind=task.kind, length=task.length, labels=task.labels,
            label_set=label_set if task.kind == "labels" else task.kind, shots=shots, wording=task.fingerprint,
            template=template,
        )  # fmt: skip
        choices = tuple(answer.removeprefix(blank) for answer in prompt.answers)
        target = task.labels.index(prompt.gold)
        rows.append(HarnessRow(prompt=prompt.text, choices=choices, target=target, spillover=facts))
    return rows


def row_of_log(document: Any, place: str) -> HarnessRow | None:
    """The row that the harness copied into its log as `document`; None where it is not one of ours. place: file:line,
    for the message of a DataError where it was changed since."""
    if not isinstance(document, dict) or COLUMN not in document:
        return None
    try:
        row = HarnessRow.model_validate(document)
    except ValidationError as error:
        raise DataError(
            f"{place}: doc: damaged, or of another version: {first_problem(error.errors())}",
            hint="export the task again",
        ) from None
    if not 0 <= row.target < len(row.choices) <= len(row.spillover.labels):
        raise DataError(
            f"{place}: doc: target {row.target} of {len(row.choices)} choices", hint="export the task again"
        )
    return row
