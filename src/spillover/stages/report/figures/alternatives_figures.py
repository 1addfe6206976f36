"""The alternatives: each row's change from the calibrated base, and under it those of its nulls."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spillover.core.tables import records
from spillover.stages.alternatives.result import Alternatives
from spillover.stages.report.charts import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    Figure,
    by_category,
    columns,
    filling,
    line_at,
    slug,
)

if TYPE_CHECKING:
    import pandas as pd

COLORS = {"free": BLUE, "trained": ORANGE, "null": GREY, "bound": PURPLE, "reference": GREEN}
SHAPES = {"free": "circle", "trained": "diamond", "null": "cross", "bound": "triangle-right", "reference": "square"}
ENDS = ("delta", "low", "high")


def alternatives_figure(result: Alternatives) -> Figure:
    """A dot and its interval per row, in the verdict's group of languages, with its nulls in grey below it."""
    import altair as alt

    rows, measure = drawn_rows(result), result.measure
    kinds = [kind for kind in COLORS if (rows["kind"] == kind).any()]
    legend = alt.Legend(orient="top", symbolSize=90)
    color = by_category(alt.Color, "kind", {kind: COLORS[kind] for kind in kinds}, legend=legend)
    shape = by_category(alt.Shape, "kind", {kind: SHAPES[kind] for kind in kinds}, legend=legend)
    order = list(dict.fromkeys(rows["method"]))
    signed = f"+{measure.number_format}"
    tip = [alt.Tooltip("row:N"), alt.Tooltip("delta:Q", title=f"change{measure.unit}", format=signed)]
    base = alt.Chart().encode(
        y=alt.Y("method:N", sort=order, title=None, axis=alt.Axis(labelLimit=220)),
        yOffset=alt.YOffset("place:O"),
        color=color,
        tooltip=tip,
    )
    title = f"change in {measure.title} from the {result.reference_title}{measure.unit}"
    x = alt.X("low:Q", title=title, scale=alt.Scale(padding=8))
    bars = base.mark_rule(strokeWidth=2).encode(x=x, x2="high:Q")
    dots = base.mark_point(filled=True, opacity=1, size=70).encode(x="delta:Q", shape=shape)
    height = {"step": 11 * (1 + int(rows["place"].max())), "for": "position"}
    chart = filling(alt.layer(line_at(0), bars, dots, data=rows).properties(width=440, height=height))
    where = "the unseen languages" if result.group == "unseen" else "all languages"
    caption = (
        f"Change in {measure.title} from the {result.reference_title} (dashed line) over {where}, with its "
        f"{100 * result.level:g} % interval, paired by item. Grey, under a row: its nulls, which have all but what "
        "should help. A row whose nulls do as well shows nothing of its method. The bound is no method, and takes part "
        "in no test. Intervals are not corrected for the number of rows."
    )
    headings = {
        "row": "Row", "kind": "Kind", "method": "Null of, or itself", "delta": f"Change{measure.unit}", "low": "Low",
        "high": "High", "holm_p": "Holm p",
    }  # fmt: skip
    name = f"alternatives-{slug(result.task)}"
    return Figure(name, f"What is free, and tuning: {result.task}", chart, caption, columns(rows, headings))


def drawn_rows(result: Alternatives) -> pd.DataFrame:
    """row, kind, method (a row's own name, or that of the row whose null it is), place (0 for a row, then its nulls),
    delta, low, high as they are written, holm_p. A null of several rows stands at each of them; one that could not be
    made has no place."""
    import pandas as pd

    measure = result.measure
    lines = []
    places: dict[str, int] = {}
    rows = [row for row in records(result.of_group(result.group)) if row["row"] != result.reference and row["n"]]
    # A null of several rows may stand before one of them.
    for row in sorted(rows, key=lambda row: row["kind"] == "null"):
        change = {end: measure.factor * row[f"{measure.metric}_{end}"] for end in ENDS}
        for method in row["null_of"].split() or [row["row"]]:
            place = places[method] = places.get(method, -1) + 1
            lines.append(
                {"row": row["row"], "kind": row["kind"], "method": method, "place": place, "holm_p": row["holm_p"]}
                | change
            )
    return pd.DataFrame(lines)
