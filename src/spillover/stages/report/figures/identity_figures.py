"""How well layers separate languages, and the neurons of single languages, from the probe's tables alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spillover.core.runs import Run
from spillover.stages.report.charts import (
    BLUE,
    FADED,
    GREEN,
    GREY,
    ORANGE,
    SOLID,
    Figure,
    by_category,
    by_model,
    columns,
    filling,
    layer_ticks,
    with_names,
)
from spillover.stages.report.run_tables import read_probe_tables

if TYPE_CHECKING:
    import altair as alt
    import pandas as pd

POOLING = "weighted"
CURVES = {
    "value": "the model",
    "permuted": "languages exchanged",
    "length": "length alone",
    "random_weights": "random weights",
}
MEASURES = {"accuracy": "linear probe, accuracy", "separation": "variance between languages"}
HEADINGS = {
    "model": "Model", "name": "Language", "layer": "Layer", "measure": "Measure", "value": "Value", "count": "Neurons",
    "low": "Low", "high": "High", "permuted": "Languages exchanged", "length": "Length alone",
    "random_weights": "Random weights", "clears": "Exceeds its nulls",
}  # fmt: skip


def language_identity_figures(run: Run) -> list[Figure]:
    """Language identity and language-specific neurons; those that the run's tables allow."""
    needed = ("language", "pooling", "layer", "measure", "value", "low", "high")
    identity = read_probe_tables(run, "identity", needed)
    neurons = read_probe_tables(run, "neurons", ("language", "layer", "count", "permuted", "clears"))
    figures = [] if identity is None else [_identity_figure(identity)]
    if neurons is not None and neurons["count"].notna().any():
        figures.append(_neurons_figure(neurons))
    return figures


def _identity_figure(identity: pd.DataFrame) -> Figure:
    rows = identity[(identity["pooling"] == POOLING) & (identity["language"] == "")]
    caption = (
        "How well a layer separates languages (items never seen by the probe), beside its nulls. Random weights "
        "separate them too: different tokens have different states."
    )
    title = "Can the language be read off a layer?"
    return Figure("language-identity", title, identity_chart(rows), caption, columns(with_names(rows), HEADINGS))


def identity_chart(rows: pd.DataFrame) -> alt.FacetChart:
    """Separation of languages by layer, with its interval, beside its nulls; a column per model, a row per measure."""
    import altair as alt

    lines = rows.melt(
        ["model", "measure", "layer", "low", "high"], value_vars=[name for name in CURVES if name in rows],
        var_name="curve", value_name="share",
    ).dropna(subset=["share"])  # fmt: skip
    lines.loc[lines["curve"] != "value", ["low", "high"]] = float("nan")
    present = [name for name in CURVES if (lines["curve"] == name).any()]
    lines = lines.assign(measure=lines["measure"].map(MEASURES), curve=lines["curve"].map(CURVES))
    colors = dict(zip(CURVES, (BLUE, GREY, ORANGE, GREEN), strict=True))
    dashes = dict(zip(CURVES, (SOLID, [2, 2], [6, 2], [4, 2, 1, 2]), strict=True))
    base = alt.Chart().encode(x=alt.X("layer:Q", title="layer"))
    low = alt.Y("low:Q", title="share", scale=alt.Scale(domain=[0, 1]))
    band = base.mark_area(opacity=0.2, color=BLUE).encode(y=low, y2="high:Q")
    line = base.mark_line(strokeWidth=2).encode(
        y=alt.Y("share:Q", title="share"),
        color=by_category(alt.Color, "curve", {CURVES[name]: colors[name] for name in present}),
        strokeDash=by_category(alt.StrokeDash, "curve", {CURVES[name]: dashes[name] for name in present}),
    )
    layered = alt.layer(band, line, data=lines).properties(width=490, height=140)
    row = alt.Row("measure:N", title=None, sort=list(MEASURES.values()))
    return filling(layered.facet(column=by_model(rows), row=row), rows["model"].nunique())


def _neurons_figure(neurons: pd.DataFrame) -> Figure:
    caption = (
        "Language-specific neurons (LAPE) by layer, all languages together. Orange: as many are found when languages "
        "are exchanged within groups of items; grey: not above the 95th percentile of that."
    )
    title = "In which layers are neurons that serve single languages?"
    return Figure("language-neurons", title, neurons_chart(neurons), caption, columns(with_names(neurons), HEADINGS))


def neurons_chart(neurons: pd.DataFrame) -> alt.FacetChart:
    """Language-specific neurons by layer, over all languages, beside what exchanging languages would give."""
    import altair as alt

    sums = neurons[neurons["language"] == ""].dropna(subset=["count"])
    sums = sums[["model", "layer", "count", "permuted", "clears"]]
    axis = alt.Axis(labelAngle=0, values=layer_ticks(sums))
    base = alt.Chart().encode(x=alt.X("layer:O", title="layer", axis=axis))
    bars = base.mark_bar().encode(
        y=alt.Y("count:Q", title="language-specific neurons"),
        color=alt.condition("datum.clears", alt.value(BLUE), alt.value(FADED)),
    )
    null = base.mark_tick(color=ORANGE, thickness=2).encode(y="permuted:Q")
    chart = alt.layer(bars, null, data=sums).properties(width=510, height=140).facet(by_model(sums))
    return filling(chart, sums["model"].nunique())
