"""Charts of the lens and the PCA, layer by layer, from the probe's tables alone."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from spillover.core.languages import language, reference_language
from spillover.stages.report.charts import BLUE, GREEN, GREY, ORANGE, PURPLE, faded, minus

if TYPE_CHECKING:
    import altair as alt
    import pandas as pd

PANELS_A_ROW = 4
PANEL, STRIP = 95, 8
SHOWN_LAYERS, SHOWN_ITEMS, SHOWN_COLOURS = 6, 12, 10
SHAPES = ["circle", "square", "cross", "diamond", "triangle-up", "triangle-down", "triangle-right", "triangle-left"]
POOLINGS = {
    "all": "all tokens, shots too (the paper's)",
    "mean": "the item's own tokens",
    "weighted": "own tokens, weights 1 to n",
    "last": "last token",
}


def word_names() -> dict[str, str]:
    """How the lens's kinds of words are called in a legend."""
    return {
        "reference": f"{language(reference_language()).name} answer",
        "native": "native answer",
        "romanised": "romanised answer",
        "asked": "the label set's answer",
        "random": "random tokens, as many",
    }


def lens_grid(lens: pd.DataFrame, layers: pd.DataFrame) -> alt.FacetChart:
    """A panel per language for one model: mass of the right label's first token by layer with its interval, the exact
    word dashed, random tokens grey; below it a strip of entropy, dark where the layer is undecided."""
    import altair as alt
    import pandas as pd

    curves = _curves(lens)
    strips = layers[["language", "layer", "entropy"]].assign(left=layers["layer"] - 0.5, right=layers["layer"] + 0.5)
    rows = pd.concat([curves, strips.drop(columns="layer")], ignore_index=True)
    rows = rows.assign(name=[language(code).name for code in rows["language"]]).drop(columns="language")
    names = list(word_names().values())
    color = alt.Color(
        "what:N",
        title=None,
        scale=alt.Scale(domain=names, range=[BLUE, ORANGE, GREEN, PURPLE, GREY]),
        legend=alt.Legend(symbolOpacity=1),
    )  # fmt: skip
    dash = alt.StrokeDash(
        "measure:N", title=None, scale=alt.Scale(domain=["first token", "exact word"], range=[[1, 0], [3, 2]])
    )
    last = int(layers["layer"].max())
    edges = alt.Scale(domain=[-0.5, last + 0.5], nice=False)
    x = alt.X("layer:Q", title="layer", scale=edges, axis=alt.Axis(offset=STRIP + 2, values=_ticks(layers), grid=False))
    scale = alt.Scale(domain=[0, max(1e-3, float(curves["high"].max(skipna=True)))])
    base = alt.Chart().transform_filter("isValid(datum.value)").encode(x=x, color=color)
    band = base.mark_area(opacity=0.18).encode(
        y=alt.Y("low:Q", scale=scale, title="probability"), y2="high:Q", detail="measure:N"
    )
    line = base.mark_line(strokeWidth=1.6).encode(y=alt.Y("value:Q", scale=scale, title="probability"), strokeDash=dash)
    # A few marks on each line: in print colours are one grey.
    every = max(2, int(layers["layer"].max()) // 5)
    marks = base.transform_filter(f"datum.layer % {every} == 1 && datum.measure == 'first token'").mark_point(
        filled=True, size=22, opacity=1
    )
    marks = marks.encode(
        y=alt.Y("value:Q", scale=scale, title="probability"),
        shape=alt.Shape("what:N", title=None, scale=alt.Scale(domain=names, range=SHAPES[:5])),
    )
    dark = alt.Opacity(
        "entropy:Q",
        title="entropy (bits)",
        scale=alt.Scale(domain=[0, float(layers["entropy"].max())], range=[0.05, 1]),
    )
    strip = alt.Chart().transform_filter("isValid(datum.entropy)").mark_rect(color=GREY, strokeWidth=0)
    strip = strip.encode(
        x=alt.X("left:Q", title="layer", scale=edges), x2="right:Q", y=alt.value(PANEL), y2=alt.value(PANEL + STRIP),
        opacity=dark,
    )  # fmt: skip
    layered = alt.layer(band, line, marks, strip, data=rows).properties(width=150, height=PANEL)
    order = list(dict.fromkeys(rows["name"]))
    return layered.facet(alt.Facet("name:N", title=None, sort=order), columns=PANELS_A_ROW)


def _curves(lens: pd.DataFrame) -> pd.DataFrame:
    """Long rows: language, layer, what, measure (first token, exact word), value, low, high."""
    import pandas as pd

    names = word_names()
    parts = []
    for measure, column in (("first token", "answer"), ("exact word", "answer_sequence")):
        own = lens[["language", "layer", "words", column, f"{column}_low", f"{column}_high"]]
        own = own.set_axis(["language", "layer", "what", "value", "low", "high"], axis=1)
        parts.append(own.assign(measure=measure))
    null = lens.groupby(["language", "layer"], sort=False)["random"].mean().reset_index()
    parts.append(null.rename(columns={"random": "value"}).assign(what="random", measure="first token"))
    rows = pd.concat(parts, ignore_index=True).dropna(subset=["value"])
    return rows.assign(what=rows["what"].map(names))


def lens_change(before: pd.DataFrame, after: pd.DataFrame, words: str, column: str = "answer") -> alt.LayerChart:
    """A cell per language and layer: by how much the answer's mass changed. Grey where the two intervals overlap."""
    import altair as alt

    keys = ["language", "layer", "words"]
    rows = before.merge(after, on=keys, suffixes=("_before", "_after"))
    rows = rows[rows["words"] == words]
    apart = (rows[f"{column}_low_after"] > rows[f"{column}_high_before"]) | (
        rows[f"{column}_high_after"] < rows[f"{column}_low_before"]
    )
    rows = rows.assign(
        change=rows[f"{column}_after"] - rows[f"{column}_before"], apart=apart,
        name=[language(code).name for code in rows["language"]],
    )[["name", "layer", "change", "apart"]]  # fmt: skip
    most = max(float(rows["change"].abs().max(skipna=True) or 0), 1e-9)
    x = alt.X("layer:O", title="layer", axis=alt.Axis(values=_ticks(rows), labelAngle=0))
    base = alt.Chart(rows).encode(x=x, y=alt.Y("name:N", title=None, sort=list(dict.fromkeys(rows["name"]))))
    scale = alt.Scale(scheme="blueorange", domain=[-most, most], domainMid=0)
    cells = base.mark_rect().encode(color=alt.Color("change:Q", title="change in probability", scale=scale))
    layered = alt.layer(
        faded(base).transform_filter("!datum.apart"), cells.transform_filter("datum.apart"),
        minus(base, "change", most).transform_filter("datum.apart"),
    )  # fmt: skip
    return layered.properties(width=420, height=alt.Step(13))


def pca_grid(table: pd.DataFrame, pooling: str) -> alt.FacetChart:
    """First two components, a panel per model and a few layers, a colour and shape per language (or script, where there
    are many languages); at most twelve items of each language."""
    import altair as alt

    rows = _points(table, pooling)
    rows = rows[rows["layer"].isin(_some(sorted(rows["layer"].unique()), SHOWN_LAYERS))]
    header = alt.Header(labelExpr="'layer ' + datum.value")
    layered = alt.layer(_cloud(12), data=rows).properties(width=105, height=105)
    faceted = layered.facet(column=alt.Column("layer:O", title=None, header=header), row=alt.Row("model:N", title=None))
    return faceted.resolve_scale(x="independent", y="independent")


def pca_slider(table: pd.DataFrame, pooling: str) -> alt.FacetChart:
    """The same, a panel per model, with a slider for the layer."""
    import altair as alt

    rows = _points(table, pooling)
    first, last = int(rows["layer"].min()), int(rows["layer"].max())
    slider = alt.binding_range(min=first, max=last, step=1, name="Layer ")
    layer = alt.param("layer", bind=slider, value=(first + last) // 2)
    layered = alt.layer(_cloud(30), data=rows).properties(width=290, height=250)
    faceted = layered.facet(facet=alt.Facet("model:N", title=None), columns=2)
    return (
        faceted.resolve_scale(x="independent", y="independent")
        .transform_filter("datum.layer == layer")
        .add_params(layer)
    )


def _points(table: pd.DataFrame, pooling: str) -> pd.DataFrame:
    """The points that are drawn: model, layer, group (the language, or its script), pc1, pc2."""
    rows = table[table["pooling"] == pooling].dropna(subset=["pc1"])
    kept = set(list(dict.fromkeys(rows["example_id"]))[:SHOWN_ITEMS])
    rows = rows[rows["example_id"].isin(kept)]
    codes = list(dict.fromkeys(rows["language"]))
    few = len(codes) <= SHOWN_COLOURS
    names = {code: language(code).name if few else f"{language(code).script} script" for code in codes}
    # Three digits of the spread are finer than a pixel, and a chart carries its data with it.
    digits = 3 - math.ceil(math.log10(max(float(rows[["pc1", "pc2"]].abs().max().max()), 1e-12)))
    rows = rows.assign(group=rows["language"].map(names), pc1=rows["pc1"].round(digits), pc2=rows["pc2"].round(digits))
    return rows[["model", "layer", "group", "pc1", "pc2"]]


def _cloud(size: int) -> alt.Chart:
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


def with_reference(pairs: pd.DataFrame) -> pd.DataFrame:
    """The pairs of which the reference language is one; all, where it was not probed."""
    reference = reference_language()
    own = pairs[(pairs["language"] == reference) | (pairs["other"] == reference)]
    return own if len(own) else pairs


def correlation_chart(own: pd.DataFrame) -> alt.FacetChart:
    """Correlation of the first component with the reference language's, mean over the pairs of `with_reference`, by
    layer; beside length alone, shuffled items, and states whose length was taken out. A column per pooling, a row per
    model."""
    import altair as alt

    names = {
        "correlation": "PC1",
        "centred": "PC1 without language means",
        "residual": "PC1 without means and length",
        "length": "length alone",
        "shuffled": "shuffled items",
    }
    own = own.assign(**{name: own[name].abs() for name in names})
    means = own.groupby(["model", "pooling", "layer"], sort=False)[list(names)].mean().reset_index()
    rows = means.melt(["model", "pooling", "layer"], var_name="what", value_name="r").replace(
        {"what": names, "pooling": POOLINGS}
    )
    domain = list(names.values())
    line = (
        alt.Chart()
        .mark_line(strokeWidth=1.8)
        .encode(
            x=alt.X("layer:Q", title="layer"),
            y=alt.Y("r:Q", title="|r|", scale=alt.Scale(domain=[0, 1])),
            color=alt.Color(
                "what:N", title=None, scale=alt.Scale(domain=domain, range=[BLUE, PURPLE, GREEN, ORANGE, GREY])
            ),
            strokeDash=alt.StrokeDash(
                "what:N",
                title=None,
                scale=alt.Scale(domain=domain, range=[[1, 0], [9, 2], [6, 2], [4, 2, 1, 2], [2, 2]]),
            ),
        )
    )
    layered = alt.layer(line, data=rows).properties(width=150, height=120)
    column = alt.Column("pooling:N", title=None, sort=list(POOLINGS.values()), header=alt.Header(labelLimit=170))
    return layered.facet(column=column, row=alt.Row("model:N", title=None))


def _ticks(rows: pd.DataFrame) -> list[int]:
    last = int(rows["layer"].max())
    return list(range(0, last + 1, max(1, last // 5)))


def _some(values: list[Any], count: int) -> list[Any]:
    """At most so many, evenly spread, the first and the last among them."""
    if len(values) <= count:
        return values
    return [values[round(i * (len(values) - 1) / (count - 1))] for i in range(count)]
