"""Tables on disk: written atomically as parquet, with a declared list of columns.

The list stands beside the code that writes the table. The page, the documentation and a test read the same list.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spillover.core.files import atomic

if TYPE_CHECKING:
    import pandas as pd


# Also the full-width forms, which some spreadsheets take for the same.
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


@dataclass(frozen=True)
class Column:
    """One column of a written table: its name, what it holds, its unit ("" where it has none) and its range."""

    name: str
    description: str
    unit: str = ""
    range: str = ""


def records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows of a table, each by column name."""
    return [{str(name): value for name, value in row.items()} for row in table.to_dict("records")]


def check_columns(table: pd.DataFrame, columns: Sequence[Column]) -> pd.DataFrame:
    """The table as it is. AssertionError when its columns are not the declared ones, in any order: our own mistake."""
    declared, present = {column.name for column in columns}, set(map(str, table.columns))
    assert declared == present, f"undeclared: {sorted(present - declared)}, missing: {sorted(declared - present)}"
    return table


def csv_text(table: pd.DataFrame) -> str:
    """A table as CSV (RFC 4180) with a header. Numbers are written in full; an apostrophe stands before a text that a
    spreadsheet would take for a formula."""
    texts = table.rename(columns=_no_formula)
    for name in texts.select_dtypes(exclude="number"):
        texts[name] = texts[name].map(_no_formula)
    # With these line ends, pandas quotes a cell with either of them.
    return str(texts.to_csv(index=False, lineterminator="\r\n"))


def _no_formula(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA_STARTS) else value


def write_table(path: Path, table: pd.DataFrame, columns: Sequence[Column] | None = None) -> Path:
    """Write a parquet file, atomically, and return its path. columns: checked where they are given."""
    if columns is not None:
        check_columns(table, columns)
    with atomic(path) as partial:
        table.to_parquet(partial, index=False)
    return path
