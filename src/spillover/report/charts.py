"""Charts as SVG text: drawn once by Altair and vl-convert, so the page needs no script and no network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import altair as alt
    import pandas as pd

from spillover.compare.paired import Comparison
from spillover.core.languages import language
from spillover.core.runs import Run

BLUE, ORANGE, GREY = "#0072b2", "#d55e00", "#6b6b6b"


def change_chart(comparison: Comparison) -> str:
    """A dot and its interval per language, sorted by the change in accuracy, trained-on languages marked, with a zero
    line; beside it the change in AUROC in the same order, where it is defined."""
    import altair as alt

    rows = comparison.languages.assign(
        name=[language(code).name for code in comparison.languages["language"]],
        group=["trained on" if seen else "unseen" for seen in comparison.languages["seen"]],
    ).sort_values("accuracy_delta", ascending=False)
    charts = [_changes(rows, "accuracy", 100, "change in accuracy (percentage points)")]
    if rows["auroc_low"].notna().any():
        charts.append(_changes(rows, "auroc", 1, "change in AUROC"))
    return svg(alt.hconcat(*charts))


def _changes(rows: pd.DataFrame, metric: str, scale: float, title: str) -> alt.LayerChart:
    import altair as alt

    kinds = ["trained on", "unseen"] if (rows["group"] == "trained on").any() else ["unseen"]
    legend = alt.Legend(orient="top") if len(kinds) > 1 else None
    colors, shapes = [ORANGE, BLUE][-len(kinds) :], ["diamond", "circle"][-len(kinds) :]
    color = alt.Color("group:N", title=None, legend=legend, scale=alt.Scale(domain=kinds, range=colors))
    shape = alt.Shape("group:N", title=None, legend=legend, scale=alt.Scale(domain=kinds, range=shapes))
    ends = {end: scale * rows[f"{metric}_{end}"] for end in ("delta", "low", "high")}
    table = rows[["name", "group"]].assign(**ends)
    base = alt.Chart(table).encode(y=alt.Y("name:N", sort=list(rows["name"]), title=None))
    bars = base.mark_rule(strokeWidth=2).encode(x=alt.X("low:Q", title=title), x2="high:Q", color=color)
    dots = base.mark_point(filled=True, size=70, opacity=1).encode(x="delta:Q", color=color, shape=shape)
    zero = alt.Chart().mark_rule(color=GREY, strokeDash=[4, 3]).encode(x=alt.datum(0))
    return alt.layer(zero, bars, dots, data=table).properties(width=300, height=alt.Step(18))


def loss_chart(table: pd.DataFrame) -> str:
    """Training and validation loss by step."""
    import altair as alt

    color = alt.Color("kind:N", title=None, scale=alt.Scale(range=[BLUE, ORANGE]))
    chart = alt.Chart(table).mark_line(point=True, strokeWidth=1.5)
    encoded = chart.encode(
        x=alt.X("step:Q", title="step"),
        y=alt.Y("loss:Q", title="loss per completion token (nats)", scale=alt.Scale(zero=False)),
        color=color,
    )
    return svg(encoded.properties(width=420, height=190))


@dataclass(frozen=True)
class Figure:
    """One figure. `name` is fit for a file."""

    name: str
    chart: alt.TopLevelMixin
    caption: str


def svg(chart: alt.TopLevelMixin) -> str:
    """A chart as SVG text."""
    import vl_convert

    return str(vl_convert.vegalite_to_svg(styled(chart)))


def styled(chart: alt.TopLevelMixin) -> str:
    """A chart as Vega-Lite text, no frame around it."""
    return str(chart.configure_view(strokeOpacity=0).to_json())


def of_all_models(run: Run, name: str) -> pd.DataFrame | None:
    """A table of every probed model, one under the other, with a column `model`; None where there is none."""
    import pandas as pd

    found = [
        pd.read_parquet(path).assign(model=path.parent.name)
        for path in sorted((run.path / "probe").glob(f"*/{name}.parquet"))
    ]
    return pd.concat(found, ignore_index=True) if found else None
