"""What all charts share: colours, the figure and the table behind it, and how a chart becomes SVG or part of the page.

Colours are Okabe and Ito's; none of them says anything alone: marks differ in shape or dash too, for print in grey.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import altair as alt
    import pandas as pd

from spillover.core.files import read_table
from spillover.core.runs import Run

BLUE, ORANGE, GREEN, PURPLE, GREY = "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#7a7a7a"
FADED = "#d9d9d9"
# Texts stay black here: the page sets them to its own ink, light or dark.
CONFIG = {
    "view": {"stroke": None},
    "axis": {"gridColor": "#808080", "gridOpacity": 0.2, "domainColor": "#808080", "tickColor": "#808080"},
    "header": {"labelFontWeight": "bold"},
    "font": 'system-ui, "Noto Sans", sans-serif',
}
DIGITS = 4


@dataclass(frozen=True)
class Figure:
    """One figure. `name` is fit for a file. table: the numbers that are drawn, under headings for a reader. still: what
    a file shows where the page's chart moves."""

    name: str
    chart: alt.TopLevelMixin
    caption: str
    table: pd.DataFrame
    still: alt.TopLevelMixin | None = None


def slug(name: str) -> str:
    """A name as it may stand in the name of a file and in an id."""
    return re.sub(r"[^\w.-]+", "-", name).strip(".-") or "unnamed"


def columns(table: pd.DataFrame, headings: Mapping[str, str]) -> pd.DataFrame:
    """These columns of a table, where it has them, under these headings."""
    kept = {name: heading for name, heading in headings.items() if name in table}
    return table[list(kept)].rename(columns=kept)


def svg(chart: alt.TopLevelMixin, *, background: str | None = "white") -> str:
    """A chart as SVG text."""
    import vl_convert

    return str(vl_convert.vegalite_to_svg(styled(chart, background=background)))


def styled(chart: alt.TopLevelMixin, *, background: str | None = "white") -> str:
    """A chart as Vega-Lite text, in the style of all."""
    return json.dumps(specification(chart, background=background))


def specification(chart: alt.TopLevelMixin, *, background: str | None = "white") -> dict[str, Any]:
    """A chart as a Vega-Lite mapping, in the style of all; no background for the page, which has its own."""
    import altair as alt

    # The data belongs into the page, however many rows: there is no other file to load it from.
    with alt.data_transformers.enable("default", max_rows=None):
        found: dict[str, Any] = chart.to_dict(validate=False)
    return found | {"config": CONFIG, "background": background}


def table_values(table: pd.DataFrame) -> dict[str, Any]:
    """A table as columns and rows, numbers with four digits, what is undefined as null."""
    rows = [[_short(value) for value in row] for row in table.itertuples(index=False)]
    return {"columns": [str(name) for name in table.columns], "rows": rows}


def packed(chart: dict[str, Any]) -> dict[str, Any]:
    """A chart whose data sets are columns, texts as numbers of words: a third of the bytes. page.js takes it apart."""
    return chart | {"datasets": {name: _columns(rows) for name, rows in chart.get("datasets", {}).items()}}


def _columns(rows: list[dict[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in dict.fromkeys(name for row in rows for name in row):
        values = [row.get(name) for row in rows]
        if all(isinstance(value, str) for value in values):
            words = {word: place for place, word in enumerate(dict.fromkeys(values))}
            found[name] = {"words": list(words), "at": [words[value] for value in values]}
        else:
            # Six digits are enough to draw.
            found[name] = [float(f"{value:.6g}") if isinstance(value, float) else value for value in values]
    return found


def _short(value: Any) -> Any:
    value = value.item() if hasattr(value, "item") else value
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None
    return value if isinstance(value, (int, str, bool)) or value is None else str(value)


def minus(base: alt.Chart, column: str, most: float) -> alt.Chart:
    """A minus in each cell whose `column` is below 0, so that rise and fall differ in print too."""
    import altair as alt

    color = alt.condition(f"abs(datum.{column}) > {0.5 * most}", alt.value("white"), alt.value("black"))
    return base.mark_text(text="−", fontSize=11).encode(color=color).transform_filter(f"datum.{column} < 0")


def faded(base: alt.Chart) -> alt.LayerChart:
    """Cells that say nothing: grey with a cross, since in print a pale colour is grey too."""
    import altair as alt

    return alt.layer(base.mark_rect(color=FADED), base.mark_text(text="×", fontSize=8, color=GREY))


def of_all_models(run: Run, name: str, needed: tuple[str, ...] = ()) -> pd.DataFrame | None:
    """A table of every probed model, one under the other, with a column `model`; None where there is none. DataError
    names a file that is damaged or lacks a column."""
    import pandas as pd

    paths = sorted((run.path / "probe").glob(f"*/{name}.parquet"))
    found = [read_table(path, needed).assign(model=path.parent.name) for path in paths]
    return pd.concat(found, ignore_index=True) if found else None
