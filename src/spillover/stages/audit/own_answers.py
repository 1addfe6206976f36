"""Items that bring their own answers: which of them cannot be scored, and how a pair is read by the other checks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from spillover.core.errors import DataError
from spillover.core.types import Example, Task
from spillover.stages.audit.inputs import Fault, LanguageRows
from spillover.stages.audit.messages import counted
from spillover.tasks.choices import check_choices

FIRST, SECOND = "first", "second"


def as_audited(task: Task, rows: list[Example]) -> tuple[Task, list[Example]]:
    """The task and its rows as the checks read them: the texts of a pair are its fields, since it has no others."""
    if task.kind != "pairs":
        return task, rows
    texts = [(*row.choices, "", "")[:2] for row in rows]
    fields = [dict(zip((FIRST, SECOND), pair, strict=True)) for pair in texts]
    return replace(task, fields=(FIRST, SECOND)), [
        replace(row, fields=own) for row, own in zip(rows, fields, strict=True)
    ]


def unusable_choices(rows: LanguageRows) -> Iterator[Fault]:
    """Items whose own answers cannot be scored: one alone, too many, an empty one, two that are equal, or a
    label that is the index of none of them.

    Cannot see two answers that mean the same, nor a wrong one that is right.
    """
    problems: dict[str, str] = {}
    for row in rows.rows:
        if not row.choices:
            continue
        try:
            check_choices(row.id, row, rows.task)
        except DataError as error:
            problems[row.id] = error.message
    if problems:
        yield Fault(
            f"{counted(len(problems), 'have')} answers that cannot be scored: {next(iter(problems.values()))}",
            list(problems),
            evidence={"problems": list(problems.values())[:20]},
            ceiling=1 - len(problems) / len(rows.rows),
            suggestion="repair the rows, or leave them out in every language",
        )
