"""Cells that hold further rows of the file: a stray quote in a CSV joined all that is up to the next one."""

from __future__ import annotations

from collections.abc import Iterator

from spillover.core.files import swallowed_rows
from spillover.core.types import Example
from spillover.stages.audit.inputs import Fault, LanguageRows
from spillover.stages.audit.messages import counted
from spillover.tasks.examples import holds_rows

SUGGESTION = "close the quote in the file that it was read from, or double it, and import it again"


def swallowed_cells(rows: LanguageRows) -> Iterator[Fault]:
    """Texts with line breaks and, after one of them, as many separators as a row has.

    An error where such a line has a label in its place, or an id that the reference has and this language lacks; else
    a warning where the reference's text has fewer lines. Sees it in every format, such as JSON lines made from a CSV.
    Cannot see rows without labels in the reference itself, nor line breaks that were replaced by blanks.
    """
    lacking = rows.reference.keys() - {row.id for row in rows.rows}
    certain, possible = [], []
    for row in rows.rows:
        cells = _as_table_row(row)
        if not (swallowed := swallowed_rows(cells)):
            continue
        counterpart = rows.reference.get(row.id)
        if holds_rows(cells, rows.task.labels) or any(line[0].strip(' "') in lacking for line in swallowed):
            certain.append(row.id)
        elif counterpart is not None and _line_breaks(row) > _line_breaks(counterpart):
            possible.append(row.id)
    if certain:
        yield Fault(f"{counted(len(certain), 'hold')} further rows of the file", certain, suggestion=SUGGESTION)
    if possible:
        yield Fault(
            f"{counted(len(possible), 'have')} line breaks that the reference does not have, and may hold further rows",
            possible,
            certainty="possible",
            severity="warning",
            suggestion="compare the rows with the reference",
        )


def _as_table_row(row: Example) -> dict[str, str]:
    return {"id": row.id, **row.fields, "label": row.label or ""}


def _line_breaks(row: Example) -> int:
    return sum(text.count("\n") for text in row.fields.values())
