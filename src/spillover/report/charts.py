"""Charts as SVG text: drawn once by Altair and vl-convert, so the page needs no script and no network."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import altair as alt
    import pandas as pd

from spillover.compare.paired import Comparison
from spillover.core.languages import language

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


def lens_chart(table: pd.DataFrame) -> str:
    """Mean probability of the label words' first tokens by layer, over all languages in `table`, beside as many random
    tokens; before and after side by side."""
    import altair as alt

    names = {"reference_mass": "English label words", "native_mass": "own label words", "random_mass": "random tokens"}
    means = table.groupby(["model", "layer"], sort=False)[list(names)].mean().reset_index()
    rows = means.melt(["model", "layer"], var_name="set", value_name="probability").replace({"set": names})
    color = alt.Color("set:N", title=None, scale=alt.Scale(domain=list(names.values()), range=[BLUE, ORANGE, GREY]))
    dash = alt.StrokeDash(
        "set:N", title=None, scale=alt.Scale(domain=list(names.values()), range=[[1, 0], [6, 2], [2, 2]])
    )
    chart = (
        alt.Chart(rows)
        .mark_line(strokeWidth=2)
        .encode(
            x=alt.X("layer:Q", title="layer"),
            y=alt.Y("probability:Q", title="mean probability"),
            color=color,
            strokeDash=dash,
            column=alt.Column("model:N", title=None, sort=["base", "tuned"]),
        )
    )
    return svg(chart.properties(width=250, height=190))


def pca_chart(table: pd.DataFrame) -> str:
    """Mean correlation of the first component between languages by layer, beside the same with items shuffled."""
    import altair as alt

    names = {"correlation": "parallel items", "correlation_null": "shuffled items"}
    means = table.groupby(["model", "layer"], sort=False)[list(names)].first().reset_index()
    rows = means.melt(["model", "layer"], var_name="items", value_name="r").replace({"items": names})
    color = alt.Color("items:N", title=None, scale=alt.Scale(domain=list(names.values()), range=[BLUE, GREY]))
    dash = alt.StrokeDash("items:N", title=None, scale=alt.Scale(domain=list(names.values()), range=[[1, 0], [2, 2]]))
    chart = (
        alt.Chart(rows)
        .mark_line(strokeWidth=2)
        .encode(
            x=alt.X("layer:Q", title="layer"),
            y=alt.Y("r:Q", title="mean correlation of PC1"),
            color=color,
            strokeDash=dash,
            column=alt.Column("model:N", title=None, sort=["base", "tuned"]),
        )
    )
    return svg(chart.properties(width=250, height=190))


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


def svg(chart: alt.TopLevelMixin) -> str:
    """A chart as SVG text."""
    import vl_convert

    return str(vl_convert.vegalite_to_svg(chart.configure_view(strokeOpacity=0).to_json()))
