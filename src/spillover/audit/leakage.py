"""Test items that the model is shown on the way: shots that are test items."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from spillover.core.types import Example, Finding, Task
from spillover.tasks.overlap import overlapping


def shots_in_test(task: Task, items: Mapping[str, Mapping[str, Example]]) -> Iterator[Finding]:
    """An error for each language whose few-shot examples stand in its test set."""
    for code, rows in items.items():
        if code not in task.wordings:
            continue
        shots = [Example(shot, code, fields) for shot, fields in task.wordings[code].shots.items()]
        found = overlapping(shots, rows.values())
        if found:
            names = ", ".join(f"{shot} = {item}" for shot, item in found)
            ids = tuple(item for _, item in found)
            yield Finding("shot-in-test", "error", task.name, code, f"few-shot examples are test items: {names}", ids)
