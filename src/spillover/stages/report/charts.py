"""What all charts share: colours, channels, heatmaps, the figure, and how a chart becomes SVG or part of the page.

Colours are Okabe and Ito's; none of them carries a meaning alone: marks differ in shape or dash too, for print in grey.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from spillover.core.files import hash_of
from spillover.core.languages import language, reference_language
from spillover.core.notebook import block, paragraph

if TYPE_CHECKING:
    import altair as alt
    import pandas as pd

BLUE, ORANGE, GREEN, PURPLE, YELLOW, GREY = "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#7a7a7a"
FADED = "#d9d9d9"
SOLID, DASHED = [1, 0], [5, 3]
SHAPES = ["circle", "square", "cross", "diamond", "triangle-up", "triangle-down", "triangle-right", "triangle-left"]
# Texts stay black here: the page sets them to its own ink, light or dark.
CONFIG = {
    "view": {"stroke": None},
    "axis": {
        "gridColor": "#808080",
        "gridOpacity": 0.2,
        "domainColor": "#808080",
        "tickColor": "#808080",
        "labelSeparation": 6,
    },
    "header": {"labelFontWeight": "bold"},
    "legend": {"orient": "top"},
    "font": 'system-ui, "Noto Sans", sans-serif',
}
TABLE_DIGITS = 4
CHART_DIGITS = 6
LONGEST_SLUG = 50  # characters of up to four bytes; file systems take 255 bytes


@dataclass(frozen=True)
class Figure:
    """One figure. name: fit for a file. title: what is seen, above the chart on the page. table: the numbers that are
    drawn, under headings for a reader. still: what a file shows where the page's chart moves."""

    name: str
    title: str
    chart: alt.TopLevelMixin
    caption: str
    table: pd.DataFrame
    still: alt.TopLevelMixin | None = None

    def _repr_html_(self) -> str:
        """For a notebook: the title, the chart as SVG in the ink of what is around it, and the caption."""
        drawn = svg(self.chart if self.still is None else self.still, background=None)
        picture = Markup('<div role="img" aria-label="{}">{}</div>').format(
            self.title, Markup(_inked(drawn, self.name))
        )
        return block(self.title, picture, paragraph(self.caption))


def _inked(drawn: str, name: str) -> str:
    """SVG with texts in the colour of the page, ids of its own, and without the labels of its single marks, which are
    most of its bytes."""
    drawn = re.sub(r' (aria-label|aria-roledescription|aria-hidden|role)="[^"]*"', "", drawn)
    drawn = re.sub(r'(id="|url\(#)', rf"\g<1>{slug(name)}-", drawn)
    return drawn.replace('fill="#000"', 'fill="currentColor"')


def slug(name: str) -> str:
    """A name as it may stand in the name of a file and in an id. One that had to change ends in a hash of itself: `a b`
    and `a-b` are two."""
    kept = re.sub(r"[^\w.-]+", "-", name)[:LONGEST_SLUG].strip(".-")
    return kept if kept == name and name else f"{kept or 'unnamed'}-{hash_of(name)[:6]}"


def reference_name() -> str:
    """The name of the reference language, in which the counterparts are."""
    return language(reference_language()).name


def with_names(table: pd.DataFrame) -> pd.DataFrame:
    """The table with a column `name`: the language of each row, "all" where the row is about all of them."""
    return table.assign(name=[language(code).name if code else "all" for code in table["language"]])


def columns(table: pd.DataFrame, headings: Mapping[str, str]) -> pd.DataFrame:
    """These columns of a table, where it has them, under these headings."""
    kept = {name: heading for name, heading in headings.items() if name in table}
    return table[list(kept)].rename(columns=kept)


def by_category(channel: Any, field: str, styles: Mapping[str, Any], **options: Any) -> Any:
    """A colour, shape or dash channel of a column of categories: the style of each, in the order of the legend."""
    import altair as alt

    scale = alt.Scale(domain=list(styles), range=list(styles.values()))
    return channel(f"{field}:N", title=None, scale=scale, **options)


def line_at(value: float, dash: Sequence[int] = DASHED, **options: Any) -> alt.Chart:
    """A vertical line: at 0 the line of no change."""
    import altair as alt

    once = alt.Chart(alt.Data(values=[{}]))
    return once.mark_rule(color=GREY, strokeDash=list(dash), strokeWidth=1.5).encode(x=alt.XDatum(value, **options))


def filling(chart: Any, across: int = 1) -> Any:
    """The chart, its panels to be as wide as the page allows: page.js shares the width among so many in a row."""
    return chart.properties(usermeta={"across": across})


def in_words(count: int, total: int) -> str:
    """A count as a caption has it: "3 of 20", "none of 20"."""
    return f"{count or 'none'} of {total}"


def layer_ticks(rows: pd.DataFrame) -> list[int]:
    """About six layers, for an axis."""
    last = int(rows["layer"].max())
    return list(range(0, last + 1, max(1, last // 5)))


def language_cells(rows: pd.DataFrame, order: Sequence[str]) -> alt.Chart:
    """Where the cells of a heatmap lie: a column per layer, a row per language in this order."""
    import altair as alt

    axis = alt.Axis(labelAngle=0, values=layer_ticks(rows))
    return alt.Chart().encode(
        x=alt.X("layer:O", title="layer", axis=axis), y=alt.Y("name:N", sort=list(order), title=None)
    )


def shown_cells(base: alt.Chart, color: Any, shown: str) -> list[alt.Chart | alt.LayerChart]:
    """The layers of a heatmap: coloured where the column `shown` is true; elsewhere grey with a cross, since in print
    a pale colour is grey too."""
    import altair as alt

    faded = alt.layer(base.mark_rect(color=FADED), base.mark_text(text="×", fontSize=8, color=GREY))
    return [
        faded.transform_filter(f"!datum.{shown}"),
        base.mark_rect().encode(color=color).transform_filter(f"datum.{shown}"),
    ]


def change_cells(base: alt.Chart, rows: pd.DataFrame, title: str, shown: str) -> alt.LayerChart:
    """A heatmap of the column `change`, orange up and blue down; a minus in each cell that fell, for print."""
    import altair as alt

    scale, most = diverging(rows["change"])
    contrast = alt.condition(f"abs(datum.change) > {0.5 * most}", alt.value("white"), alt.value("black"))
    fell = base.mark_text(text="−", fontSize=11).encode(color=contrast)
    fell = fell.transform_filter(f"datum.change < 0 && datum.{shown}")
    cells = shown_cells(base, alt.Color("change:Q", title=title, scale=scale), shown)
    return alt.layer(*cells, fell, data=rows)


def diverging(values: pd.Series[float]) -> tuple[alt.Scale, float]:
    """(a colour scale with 0 in its middle, its largest absolute value)."""
    import altair as alt

    most = max(float(values.abs().max(skipna=True) or 0), 1e-9)
    return alt.Scale(scheme="blueorange", domain=[-most, most], domainMid=0), most


def by_model(rows: pd.DataFrame) -> Any:
    """A panel per model, the base first."""
    import altair as alt

    names = list(dict.fromkeys(rows["model"]))
    return alt.Column("model:N", title=None, sort=["base", *[name for name in names if name != "base"]])


def svg(chart: alt.TopLevelMixin, *, background: str | None = "white") -> str:
    """A chart as SVG text."""
    import vl_convert

    return str(vl_convert.vegalite_to_svg(specification(chart, background=background)))


def specification(
    chart: alt.TopLevelMixin, *, background: str | None = "white", by_column: bool = False
) -> dict[str, Any]:
    """A chart as a Vega-Lite mapping with its data inside, in the style of all; no background for the page, which has
    its own. by_column: a data set is a list for each column, which page.js makes into rows: half the bytes, since a row
    repeats every name."""
    import altair as alt

    alt.data_transformers.register("by_column", lambda table: {"values": column_values(table)})
    alt.data_transformers.register("by_row", lambda table: {"values": _rows(column_values(table))})
    with alt.data_transformers.enable("by_column" if by_column else "by_row"):
        spec: dict[str, Any] = chart.to_dict(validate=False)
    return spec | {"config": CONFIG, "background": background}


def column_values(table: pd.DataFrame) -> dict[str, list[Any]]:
    """The values of each column, numbers with six digits, what is undefined as null."""
    return {str(name): [_rounded(value, CHART_DIGITS) for value in table[name]] for name in table}


def _rows(values: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    return [dict(zip(values, row, strict=True)) for row in zip(*values.values(), strict=True)]


def table_values(table: pd.DataFrame) -> dict[str, Any]:
    """A table as columns and rows, numbers with four digits, what is undefined as null."""
    rows = [[_rounded(value, TABLE_DIGITS) for value in row] for row in table.itertuples(index=False)]
    return {"columns": [str(name) for name in table.columns], "rows": rows}


def _rounded(value: Any, digits: int) -> Any:
    value = value.item() if hasattr(value, "item") else value
    if isinstance(value, float):
        return float(f"{value:.{digits}g}") if math.isfinite(value) else None
    return value if isinstance(value, (int, str, bool)) or value is None else str(value)
