"""What is translated so far, on disk: one line of JSON for each batch, appended when its rows are checked.

A kill loses at most the batch in flight. The next run begins at the row after the last line, so that its batches, and
with them its bytes, are those of an uninterrupted run.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from spillover.core.errors import DataError
from spillover.core.files import append_line, as_data_error, parse_json


@dataclass(frozen=True)
class TranslatedRow:
    """One row in one target language. texts: by field, and `choice N` for answers of its own. retried: whether some
    text was asked for twice. problem: why it is left out; "" for a good one."""

    id: str
    texts: Mapping[str, str]
    retried: bool = False
    problem: str = ""


def append_batch(path: Path, rows: Sequence[TranslatedRow]) -> None:
    """Append a batch. RunError where the disk is full: the file then ends with the batch before."""
    append_line(path, json.dumps([asdict(row) for row in rows], ensure_ascii=False))


def read_batches(path: Path, ids: Sequence[str]) -> list[TranslatedRow]:
    """All rows of whole batches, none where nothing was translated. ids: of the questions, in their order. DataError
    for a damaged file, or one of other questions."""
    if not path.exists():
        return []
    rows: list[TranslatedRow] = []
    # What follows the last line break is half a line of a killed process, perhaps half a character.
    for line, batch in enumerate(path.read_bytes().split(b"\n")[:-1], start=1):
        with as_data_error(path):
            rows += [TranslatedRow(**row) for row in parse_json(batch, str(path), line=line)]
    if [row.id for row in rows] != list(ids[: len(rows)]):
        raise DataError(f"{path}: not the rows of these questions", hint="delete it: they are translated again")
    return rows
