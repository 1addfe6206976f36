"""How the numbers of a comparison are written: points, per cent, p-values, intervals."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

Row = Mapping[str, Any]
"""One row of a table of a comparison, by column."""


def records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows of a table."""
    return [{str(column): value for column, value in row.items()} for row in table.to_dict("records")]


def pick(groups: pd.DataFrame, group: str, metric: str) -> dict[str, Any]:
    """The row of one group and metric."""
    rows = groups[(groups["group"] == group) & (groups["metric"] == metric)]
    return {str(column): value for column, value in rows.iloc[0].items()}


def points(share: float) -> str:
    """A share as percentage points with a sign, none where it rounds to nothing; a dash for NaN."""
    if math.isnan(share):
        return "–"
    text = f"{100 * share:+.1f}"
    return "0.0" if text in ("+0.0", "-0.0") else text


def percent(share: float) -> str:
    """A share in percent; a dash for NaN."""
    return "–" if math.isnan(share) else f"{100 * share:.1f}"


def p_value(p: float) -> str:
    """A p-value, never 0; a dash for NaN."""
    return "–" if math.isnan(p) else "<0.001" if p < 0.001 else f"{p:.3f}"


def span(row: Row) -> str:
    """A row's interval in points; a dash where it has none."""
    return "–" if math.isnan(row["low"]) else f"{points(row['low'])} to {points(row['high'])}"


def area_span(row: Row) -> str:
    """A change in AUROC with its interval, where it has one."""
    if math.isnan(row["delta"]):
        return "undefined"
    if math.isnan(row["low"]):
        return f"{row['delta']:+.3f} (nothing varies, no interval)"
    return f"{row['delta']:+.3f} ({row['low']:+.3f} to {row['high']:+.3f})"
