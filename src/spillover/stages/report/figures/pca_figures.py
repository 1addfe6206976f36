"""The PCA of hidden states, layer by layer, from the probe's tables alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from spillover.core.languages import language, reference_language, script_name
from spillover.core.runs import Run
from spillover.stages.report.charts import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    SHAPES,
    SOLID,
    Figure,
    by_category,
    columns,
    filling,
    in_words,
    reference_name,
    with_names,
)
from spillover.stages.report.run_tables import read_probe_tables

if TYPE_CHECKING:
    import altair as alt
    import pandas as pd

KEYS = ["model", "pooling", "layer"]
STILL_LAYERS, SHOWN_ITEMS, SHOWN_COLOURS = 6, 12, 10
POOLINGS = {
    "all": "all tokens, shots too",
    "mean": "the item's own tokens",
    "weighted": "own tokens, weights 1 to n",
    "last": "last token",
}
CORRELATIONS = {
    "correlation": "PC1",
    "centred": "PC1 without language means",
    "residual": "PC1 without means and length",
    "length": "length alone",
    "shuffled": "shuffled items",
}


def pca_figures(run: Run) -> list[Figure]:
    """The correlation of the first component, and the scatter of two poolings, of every model that was probed."""
    pairs = read_probe_tables(run, "pca_pairs", ("language", "other", "pooling", "layer", *CORRELATIONS))
    points = read_probe_tables(run, "pca", ("pooling", "layer", "language", "example_id", "pc1", "pc2"))
    figures = [_correlation_figure(pairs)] if pairs is not None and len(pairs) else []
    if points is not None and points["pc1"].notna().any():
        figures.append(_scatter_figure(points, "all", "the mean over all tokens, those of the shots too"))
        figures.append(_scatter_figure(points, "mean", "the mean over its own tokens"))
    return figures


def _correlation_figure(pairs: pd.DataFrame) -> Figure:
    caption = (
        f"Correlation |r| of the items' first principal component (PC1) with that of their {reference_name()} "
        "counterparts, mean over languages, a panel per pooling. The nulls are the lengths of the items alone and "
        f"shuffled items. Layers at which PC1 is above both, over all poolings: {_above_nulls(reference_pairs(pairs))}."
    )
    title = "Does the first principal component order the items alike in all languages?"
    headings = {
        "model": "Model", "pooling": "Pooling", "layer": "Layer", "language": "Language", "other": "With",
        "correlation": "r of PC1", "centred": "Without language means", "residual": "Without means and length",
        "length": "Of length alone", "shuffled": "Of shuffled items",
    }  # fmt: skip
    # The pairs that the chart is made of; all of them, 190 for 20 languages, stand in the run's table.
    pairs = reference_pairs(pairs)
    return Figure("pca-correlation", title, correlation_chart(pairs), caption, columns(pairs, headings))


def _layer_means(pairs: pd.DataFrame) -> pd.DataFrame:
    """The mean |r| over these pairs, by model, pooling and layer."""
    pairs = pairs.assign(**pairs[list(CORRELATIONS)].abs())
    return pairs.groupby(KEYS, sort=False)[list(CORRELATIONS)].mean().reset_index()


def _above_nulls(pairs: pd.DataFrame) -> str:
    means = _layer_means(pairs).dropna(subset=["correlation"])
    above = means["correlation"] > means[["length", "shuffled"]].max(axis=1)
    counts = above.groupby(means["model"], sort=False)
    return ", ".join(f"{model} {in_words(int(of_model.sum()), len(of_model))}" for model, of_model in counts)


def reference_pairs(pairs: pd.DataFrame) -> pd.DataFrame:
    """The pairs of which the reference language is one; all, where it was not probed."""
    chosen = pairs[(pairs[["language", "other"]] == reference_language()).any(axis=1)]
    return chosen if len(chosen) else pairs


def correlation_chart(pairs: pd.DataFrame) -> alt.FacetChart:
    """Mean absolute correlation over these pairs by layer, beside length alone, shuffled items, and states from which
    length was removed. A panel per model and pooling, a row per model."""
    import altair as alt

    rows = _layer_means(pairs).melt(KEYS, var_name="measure", value_name="r")
    rows = rows.assign(
        measure=rows["measure"].map(CORRELATIONS), panel=rows["model"] + ": " + rows["pooling"].map(POOLINGS)
    )
    models = sorted(rows["model"].unique(), key=lambda name: name != "base")
    poolings = [name for name in POOLINGS if (rows["pooling"] == name).any()]
    order = [f"{model}: {POOLINGS[name]}" for model in models for name in poolings]
    names = CORRELATIONS.values()
    dashes = (SOLID, [9, 2], [6, 2], [4, 2, 1, 2], [2, 2])
    line = (
        alt.Chart()
        .mark_line(strokeWidth=1.8)
        .encode(
            x=alt.X("layer:Q", title="layer"),
            y=alt.Y("r:Q", title="|r| of PC1", scale=alt.Scale(domain=[0, 1])),
            color=by_category(
                alt.Color, "measure", dict(zip(names, (BLUE, PURPLE, GREEN, ORANGE, GREY), strict=True))
            ),
            strokeDash=by_category(alt.StrokeDash, "measure", dict(zip(names, dashes, strict=True))),
        )
    )  # fmt: skip
    layered = alt.layer(line, data=rows.drop(columns=["model", "pooling"])).properties(width=248, height=120)
    panels = alt.Facet("panel:N", title=None, sort=order, header=alt.Header(labelLimit=250))
    return filling(layered.facet(panels, columns=len(poolings)), len(poolings))


def _scatter_figure(points: pd.DataFrame, pooling: str, pooled: str) -> Figure:
    caption = (
        f"Each mark is an item's hidden state, {pooled}, on the first two principal components of its layer; up to "
        f"{SHOWN_ITEMS} items a language. The slider chooses the layer; an exported file shows a few."
    )
    title = f"Do hidden states lie by language or by item? (PCA, {POOLINGS[pooling]})"
    points = points[points["pooling"] == pooling].dropna(subset=["pc1"])
    means = with_names(points).groupby(["model", "layer", "name"], sort=False)[["pc1", "pc2"]].mean().reset_index()
    headings = {"model": "Model", "layer": "Layer", "name": "Language", "pc1": "PC1 (mean)", "pc2": "PC2 (mean)"}
    return Figure(
        f"pca-{pooling}", title, slider_chart(points), caption, columns(means, headings), still=grid_chart(points)
    )  # fmt: skip


def grid_chart(points: pd.DataFrame) -> alt.FacetChart:
    """First two components of one pooling, a panel per model and a few layers, a colour and shape per language (or
    script, where there are many languages); at most twelve items of each language."""
    import altair as alt

    rows = _drawn_points(points)
    rows = rows[rows["layer"].isin(_evenly_spread(sorted(rows["layer"].unique()), STILL_LAYERS))]
    header = alt.Header(labelExpr="'layer ' + datum.value")
    layered = alt.layer(_scatter(12), data=rows).properties(width=165, height=150)
    faceted = layered.facet(column=alt.Column("layer:O", title=None, header=header), row=alt.Row("model:N", title=None))
    return faceted.resolve_scale(x="independent", y="independent")


def slider_chart(points: pd.DataFrame) -> alt.FacetChart:
    """The same, a panel per model, with a slider for the layer."""
    import altair as alt

    rows = _drawn_points(points)
    first, last = int(rows["layer"].min()), int(rows["layer"].max())
    slider = alt.binding_range(min=first, max=last, step=1, name="Layer ")
    layer = alt.param("layer", bind=slider, value=(first + last) // 2)
    layered = alt.layer(_scatter(30), data=rows).properties(width=535, height=300)
    faceted = layered.facet(facet=alt.Facet("model:N", title=None), columns=2)
    faceted = faceted.resolve_scale(x="independent", y="independent")
    return filling(faceted.transform_filter("datum.layer == layer").add_params(layer), min(2, rows["model"].nunique()))


def _drawn_points(points: pd.DataFrame) -> pd.DataFrame:
    """The points that are drawn: model, layer, group (the language, or its script), pc1, pc2."""
    import pandas as pd

    items = list(dict.fromkeys(points["example_id"]))[:SHOWN_ITEMS]
    rows = points[points["example_id"].isin(items)]
    codes = list(dict.fromkeys(rows["language"]))
    few = len(codes) <= SHOWN_COLOURS
    names = {code: language(code).name if few else f"{script_name(language(code).script)} script" for code in codes}
    parts = [_rounded(part) for _, part in rows.groupby(["model", "layer"], sort=False)]
    rows = pd.concat(parts).assign(group=rows["language"].map(names))
    return rows[["model", "layer", "group", "pc1", "pc2"]]


def _rounded(points: pd.DataFrame) -> pd.DataFrame:
    """The points of one panel with three digits of each axis' spread: finer than a pixel, and a chart carries its data
    with it. Each panel has a spread of its own: that of a late layer may be a thousand times that of an early one."""
    rounded = {}
    for name in ("pc1", "pc2"):
        digits = 3 - math.ceil(math.log10(max(float(points[name].abs().max()), 1e-12)))
        rounded[name] = points[name].round(digits)
    return points.assign(**rounded)


def _scatter(size: int) -> alt.Chart:
    import altair as alt

    blank = alt.Axis(labels=False, ticks=False, grid=False)
    # Open marks in eight shapes: colour alone is lost in print.
    return (
        alt.Chart()
        .mark_point(filled=False, size=size, opacity=0.8, strokeWidth=1.4)
        .encode(
            x=alt.X("pc1:Q", title="PC1", axis=blank),
            y=alt.Y("pc2:Q", title="PC2", axis=blank),
            color=alt.Color("group:N", title=None, scale=alt.Scale(scheme="tableau10")),
            shape=alt.Shape("group:N", title=None, scale=alt.Scale(range=SHAPES)),
        )
    )


def _evenly_spread(values: Sequence[Any], count: int) -> Sequence[Any]:
    """At most so many, evenly spread, the first and the last among them."""
    if len(values) <= count:
        return values
    return [values[round(i * (len(values) - 1) / (count - 1))] for i in range(count)]
