"""The files of the stage in a run folder, over all tasks: alternatives/rows.parquet, contrasts.parquet,
translations.parquet, and alternatives.json with the verdict of each task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from itertools import islice
from pathlib import Path
from typing import Any

from spillover.core.files import as_data_error, read_json, read_jsonl, read_table, write_json
from spillover.core.tables import Column, records, write_table
from spillover.stages.alternatives.result import (
    CONTRAST_COLUMNS,
    ROW_COLUMNS,
    TRANSLATION_COLUMNS,
    Alternatives,
    Need,
    no_translations,
)

FOLDER = "alternatives"
TRANSLATED_TEXTS = f"{FOLDER}/translations"  # <row>/<task>/<language>.jsonl
SHOWN_ITEMS = 2
VERDICTS = "alternatives.json"
TRANSLATIONS = "translations"
TABLES: Mapping[str, tuple[Column, ...]] = {
    "rows": ROW_COLUMNS,
    "contrasts": CONTRAST_COLUMNS,
    TRANSLATIONS: TRANSLATION_COLUMNS,
}


def write_alternatives(folder: Path, results: Sequence[Alternatives]) -> None:
    """Write all tasks' tables; the verdicts are written last."""
    import pandas as pd

    for name, columns in TABLES.items():
        tables = pd.concat([getattr(result, name) for result in results], ignore_index=True)
        write_table(folder / f"{name}.parquet", tables, columns)
    write_json(folder / VERDICTS, [facts(result) for result in results])


def facts(result: Alternatives) -> dict[str, Any]:
    """All but the tables, for JSON."""
    values = {entry.name: getattr(result, entry.name) for entry in fields(result) if entry.name not in TABLES}
    return values | {"answer": result.answer.value, "notes": list(result.notes)}


def first_translations(run: Path, result: Alternatives) -> list[dict[str, str]]:
    """The first texts of each row and language with their translations, for a reader to look at: row, language, text,
    translation. DataError names a damaged file."""
    shown = []
    for line in records(result.translations):
        row, code = str(line["row"]), str(line["language"])
        path = run / TRANSLATED_TEXTS / row / result.task / f"{code}.jsonl"
        with as_data_error(path):
            for _, item in islice(read_jsonl(path), SHOWN_ITEMS) if path.exists() else ():
                for text, translation in zip(item["texts"], item["translations"], strict=True):
                    shown.append({"row": row, "language": code, "text": text, "translation": translation})
    return shown


def read_alternatives(folder: Path) -> list[Alternatives]:
    """The result of each task; none where the stage was not run. DataError names a damaged file."""
    path = folder / VERDICTS
    if not path.exists():
        return []
    tables = {
        name: read_table(folder / f"{name}.parquet", [column.name for column in columns])
        for name, columns in TABLES.items()
        if name != TRANSLATIONS or (folder / f"{name}.parquet").exists()  # tables of before have none
    }
    tables.setdefault(TRANSLATIONS, no_translations())
    with as_data_error(path):
        return [
            Alternatives(
                **row | {"answer": Need(row["answer"]), "notes": tuple(row["notes"])},
                **{name: table[table["task"] == row["task"]].reset_index(drop=True) for name, table in tables.items()},
            )
            for row in read_json(path)
        ]
