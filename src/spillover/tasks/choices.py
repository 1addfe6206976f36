"""What a row brings itself: its answers, as a list or in columns, and its cluster."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from spillover.core.errors import DataError
from spillover.core.types import Example, Task
from spillover.tasks.wording import MOST_CHOICES


def choices_of(place: str, row: Mapping[str, object]) -> tuple[str, ...]:
    """A row's own answers: the list `choices`, or the columns choice0, choice1, ... up to the first that is empty.
    Empty where it has neither. place: file:line, for the message of a DataError."""
    choices = row.get("choices")
    if choices is None:
        columns = [str(row.get(f"choice{i}") or "") for i in range(MOST_CHOICES)]
        n = next((i for i, text in enumerate(columns) if not text), MOST_CHOICES)
        if any(columns[n:]):
            raise DataError(f"{place}: choice{n} is empty, and a later one is not", hint="number them from choice0")
        return tuple(columns[:n])
    if not isinstance(choices, list) or not all(isinstance(choice, str) for choice in choices):
        raise DataError(f"{place}: choices is not a list of texts", hint='"choices": ["first", "second"]')
    return tuple(choices)


def cluster_of(place: str, row: Mapping[str, object]) -> str | None:
    """The cluster of a row as text; None where it has none."""
    value = row.get("cluster")
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        raise DataError(f"{place}: cluster {value!r} is neither text nor a whole number", hint="write it as text")
    return str(value)


def unread_columns(row: Mapping[str, object]) -> list[str]:
    """The columns of a pair's row that hold text and are not read."""
    read = {"id", "label", "cluster", "choices", *(f"choice{i}" for i in range(MOST_CHOICES))}
    return [key for key, value in row.items() if key not in read and isinstance(value, str) and value]


def check_kind(place: str, task: Task, choices: Sequence[str], label: str | None) -> None:
    """DataError where a row has choices and its task labels, or the reverse. A bare question has neither."""
    if choices and task.kind == "labels":
        raise DataError(
            f"{place}: has choices, but task {task.name} is of kind labels",
            hint="`kind: choices` in task.yaml, or name the texts as fields",
        )
    if task.kind != "labels" and not choices and (label is not None or task.kind == "pairs"):
        raise DataError(
            f"{place}: no choices, but task {task.name} is of kind {task.kind}",
            hint='"choices": ["first", "second"], or choice0, choice1, ... in a table',
        )


def check_choices(place: str, example: Example, task: Task | None = None) -> None:
    """DataError for answers of an item that cannot be scored, or a label that is not the index of one of them. task:
    None where it is not known yet."""
    choices = example.choices
    _check_number(place, task, len(choices))
    for i, choice in enumerate(choices):
        if not choice or choice != choice.strip():
            raise DataError(
                f"{place}: choice {i} is empty, or has leading or trailing whitespace: {choice!r}",
                hint="strip it, or leave the item out",
            )
        if choice in choices[:i]:
            raise DataError(
                f"{place}: choices {choices.index(choice)} and {i} are equal: {choice!r}", hint="leave the item out"
            )
    if example.label is not None and example.label not in map(str, range(len(choices))):
        raise DataError(
            f"{place}: label {example.label!r} is not the index of one of its {len(choices)} choices",
            hint=f"indices count from 0: the first is 0, the last of these is {len(choices) - 1}. Data that counts "
            "from 1 is imported with `labels: {1: 0, 2: 1, ...}`",
        )


def _check_number(place: str, task: Task | None, n: int) -> None:
    counted = f"{n} choice{'' if n == 1 else 's'}"
    if task is not None and task.kind == "pairs" and n != 2:
        raise DataError(f"{place}: {counted}, but a pair is two texts", hint="leave the item out, or `kind: choices`")
    if not 2 <= n <= MOST_CHOICES:
        raise DataError(f"{place}: {counted}; an item has from 2 to {MOST_CHOICES}", hint="leave the item out")
    if task is not None and task.choices is not None and n != task.choices:
        raise DataError(
            f"{place}: {counted}, but task {task.name} has {task.choices}",
            hint="leave `choices` out of task.yaml where items differ in that",
        )
