"""The files of a comparison in a run folder, over all tasks.

languages.parquet, groups.parquet   with several runs also contrasts.parquet and seeds.parquet
all_tasks.parquet                   with several tasks
verdict.json                        the sentences, each with its numbers
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spillover.core.errors import RunError
from spillover.core.files import as_data_error, read_json, read_table, write_json
from spillover.core.tables import Column, write_table
from spillover.stages.compare.all_tasks import ALL_TASKS_COLUMNS
from spillover.stages.compare.change_tables import GROUP_COLUMNS, LANGUAGE_COLUMNS
from spillover.stages.compare.contrasts import CONTRAST_COLUMNS, SEED_COLUMNS
from spillover.stages.compare.result import Comparison, Guard, Sentence, Topic, to_plain

if TYPE_CHECKING:
    import pandas as pd

FOLDER = "compare"
TASK = Column("task", "id of the task")
TABLES: Mapping[str, tuple[Column, ...]] = {
    "languages": (*LANGUAGE_COLUMNS, TASK),
    "groups": (*GROUP_COLUMNS, TASK),
    "contrasts": (*CONTRAST_COLUMNS, TASK),
    "seeds": (*SEED_COLUMNS, TASK),
    "all_tasks": (*ALL_TASKS_COLUMNS, TASK),
}


def write_comparisons(folder: Path, comparisons: Sequence[Comparison]) -> None:
    """Write all comparisons of a run, each table with a column `task`. The verdict is written last."""
    import pandas as pd

    for name, columns in TABLES.items():
        tables = {comparison.task: getattr(comparison, name) for comparison in comparisons}
        tables = {task: table.assign(task=task) for task, table in tables.items() if table is not None}
        path = folder / f"{name}.parquet"
        if tables:
            write_table(path, pd.concat(tables.values(), ignore_index=True), columns)
        else:
            path.unlink(missing_ok=True)
    rows = [{key: value for key, value in to_plain(row).items() if key not in TABLES} for row in comparisons]
    write_json(folder / "verdict.json", rows)


def read_comparisons(folder: Path) -> list[Comparison]:
    """The comparisons of a run. RunError when it has none, or when another version wrote them; DataError names a
    damaged file."""
    path = folder / "verdict.json"
    if not path.exists():
        raise RunError(f"{folder}: nothing compared yet", hint="`spillover compare` first")
    paths = {name: folder / f"{name}.parquet" for name in TABLES}
    tables = {name: read_table(file, ("task",)) for name, file in paths.items() if file.exists()}
    rows = read_json(path)
    with as_data_error(path):
        return _comparisons(folder, rows, tables)


def _comparisons(folder: Path, rows: Any, tables: Mapping[str, pd.DataFrame]) -> list[Comparison]:
    if any(isinstance(sentence, str) for row in rows for sentence in row["verdict"]):
        raise RunError(f"{folder}: written by an older version", hint="rerun `spillover compare`; it takes seconds")
    return [
        Comparison(
            task=row["task"],
            label_set=row["label_set"],
            seen=tuple(row["seen"]),
            level=row["level"],
            primary=row.get("primary", "accuracy"),  # earlier versions had no other
            chosen=row.get("chosen", ""),
            verdict=tuple(_sentence(**sentence) for sentence in row["verdict"]),
            guard=_guard(row["guard"]),
            **{
                name: table[table["task"] == row["task"]].drop(columns="task").reset_index(drop=True)
                for name, table in tables.items()
            },
        )
        for row in rows
    ]


def _sentence(about: str, text: str, numbers: Mapping[str, Any]) -> Sentence:
    return Sentence(Topic(about), text, numbers)


def _guard(row: Mapping[str, Any] | None) -> Guard | None:
    values: Any = {key: math.nan if value is None else value for key, value in (row or {}).items()}
    return Guard(**values) if values else None
