"""The logit lens, layer by layer, from the probe's tables alone: of each model, and its change."""

from __future__ import annotations

from typing import TYPE_CHECKING

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
    change_cells,
    columns,
    language_cells,
    layer_ticks,
    reference_name,
    with_names,
)
from spillover.stages.report.run_tables import read_probe_tables

if TYPE_CHECKING:
    import altair as alt
    import pandas as pd

PANELS_A_ROW = 4
PANEL, STRIP = 95, 8
REFERENCE = "reference"


def lens_figures(run: Run) -> list[Figure]:
    """The lens of every model that was probed, and its change from base to tuned."""
    needed = ("language", "words", "layer", "answer", "answer_sequence", "random", "n")
    lens = read_probe_tables(run, "lens", needed)
    layers = read_probe_tables(run, "lens_layers", ("language", "layer", "entropy"))
    if lens is None or layers is None:
        return []
    lens, layers = with_names(lens), with_names(layers)
    by_name = {str(name): rows for name, rows in lens.groupby("model", sort=False)}
    figures = [_lens_figure(name, rows, layers[layers["model"] == name]) for name, rows in by_name.items()]
    if {"base", "tuned"} <= set(by_name):
        figures.append(_change_figure(by_name["base"], by_name["tuned"]))
    return figures


def _lens_figure(model: str, lens: pd.DataFrame, layers: pd.DataFrame) -> Figure:
    caption = (
        f"Logit lens of {model}, {int(lens['n'].min())} items a language: probability of the right answer at each "
        "layer, with the 95 % interval over items. Dashed: of the exact word. No solid line: its words share their "
        "first token. The strip is entropy, dark is undecided."
    )
    headings = {
        "name": "Language", "words": "Words", "layer": "Layer", "answer": "First token", "answer_low": "Low",
        "answer_high": "High", "random": "Random tokens", "answer_sequence": "Exact word",
    }  # fmt: skip
    return Figure(f"lens-{model}", lens_grid(lens, layers), caption, columns(lens, headings))


def target_sets() -> dict[str, str]:
    """The lens's target sets, as a legend names them."""
    return {
        REFERENCE: f"{reference_name()} answer",
        "native": "native answer",
        "romanised": "romanised answer",
        "asked": "the label set's answer",
        "random": "random tokens, as many",
    }


def lens_grid(lens: pd.DataFrame, layers: pd.DataFrame) -> alt.FacetChart:
    """A panel per language for one model: probability of the right label's first token by layer with its interval, the
    exact word dashed, random tokens grey; below it a strip of entropy, dark where the layer is undecided."""
    import altair as alt
    import pandas as pd

    curves = _curves(lens)
    strips = layers[["name", "entropy"]].assign(left=layers["layer"] - 0.5, right=layers["layer"] + 0.5)
    rows = pd.concat([curves, strips], ignore_index=True)
    names = list(target_sets().values())
    colors = dict(zip(names, (BLUE, ORANGE, GREEN, PURPLE, GREY), strict=True))
    color = by_category(alt.Color, "words", colors, legend=alt.Legend(symbolOpacity=1))
    dash = by_category(alt.StrokeDash, "measure", {"first token": SOLID, "exact word": [3, 2]})
    edges = alt.Scale(domain=[-0.5, int(layers["layer"].max()) + 0.5], nice=False)
    axis = alt.Axis(offset=STRIP + 2, values=layer_ticks(layers), grid=False)
    shares = alt.Scale(domain=[0, max(1e-3, float(curves["high"].max(skipna=True)))])
    y = alt.Y("value:Q", scale=shares, title="probability")
    base = alt.Chart().transform_filter("isValid(datum.value)")
    base = base.encode(x=alt.X("layer:Q", title="layer", scale=edges, axis=axis), color=color)
    low = alt.Y("low:Q", scale=shares, title="probability")
    band = base.mark_area(opacity=0.18).encode(y=low, y2="high:Q", detail="measure:N")
    line = base.mark_line(strokeWidth=1.6).encode(y=y, strokeDash=dash)
    # A few marks on each line: in print colours are one grey.
    every = max(2, int(layers["layer"].max()) // 5)
    some = base.transform_filter(f"datum.layer % {every} == 1 && datum.measure == 'first token'")
    shape = by_category(alt.Shape, "words", dict(zip(names, SHAPES, strict=False)))
    marks = some.mark_point(filled=True, size=22, opacity=1).encode(y=y, shape=shape)
    darkness = alt.Scale(domain=[0, float(layers["entropy"].max())], range=[0.05, 1])
    strip = alt.Chart().transform_filter("isValid(datum.entropy)").mark_rect(color=GREY, strokeWidth=0)
    strip = strip.encode(
        x=alt.X("left:Q", title="layer", scale=edges), x2="right:Q", y=alt.value(PANEL), y2=alt.value(PANEL + STRIP),
        opacity=alt.Opacity("entropy:Q", title="entropy (bits)", scale=darkness),
    )  # fmt: skip
    layered = alt.layer(band, line, marks, strip, data=rows).properties(width=150, height=PANEL)
    order = list(dict.fromkeys(rows["name"]))
    return layered.facet(alt.Facet("name:N", title=None, sort=order), columns=PANELS_A_ROW)


def _curves(lens: pd.DataFrame) -> pd.DataFrame:
    """Long rows: name, layer, words, measure (first token, exact word), value, low, high."""
    import pandas as pd

    keys = ["name", "layer", "words"]
    parts = [
        lens[[*keys, column, f"{column}_low", f"{column}_high"]]
        .set_axis([*keys, "value", "low", "high"], axis=1)
        .assign(measure=measure)
        for measure, column in (("first token", "answer"), ("exact word", "answer_sequence"))
    ]
    null = lens.groupby(["name", "layer"], sort=False)["random"].mean().reset_index()
    parts.append(null.rename(columns={"random": "value"}).assign(words="random", measure="first token"))
    rows = pd.concat(parts, ignore_index=True).dropna(subset=["value"])
    return rows.assign(words=rows["words"].map(target_sets()))


def _change_figure(before: pd.DataFrame, after: pd.DataFrame) -> Figure:
    caption = (
        f"Change in the probability of the {reference_name()} answer's first token, tuned minus base. Grey: the "
        "intervals overlap. A minus sign marks a fall."
    )
    rows = lens_changes(before, after, REFERENCE)
    headings = {"name": "Language", "layer": "Layer", "answer_before": "Base", "answer_after": "Tuned"}
    return Figure("lens-change", change_chart(rows), caption, columns(rows, headings | {"change": "Change"}))


def lens_changes(before: pd.DataFrame, after: pd.DataFrame, words: str) -> pd.DataFrame:
    """A row per language and layer: the answer before and after, its `change`, and whether the two intervals are
    `separate`. words: the target set."""
    rows = before[before["words"] == words].merge(
        after, on=["name", "layer", "words"], suffixes=("_before", "_after")
    )  # fmt: skip
    rose = rows["answer_low_after"] > rows["answer_high_before"]
    fell = rows["answer_high_after"] < rows["answer_low_before"]
    return rows.assign(change=rows["answer_after"] - rows["answer_before"], separate=rose | fell)


def change_chart(rows: pd.DataFrame) -> alt.LayerChart:
    """A cell per language and layer of `lens_changes`. Grey where the two intervals overlap."""
    import altair as alt

    rows = rows[["name", "layer", "change", "separate"]]
    base = language_cells(rows, list(dict.fromkeys(rows["name"])))
    chart = change_cells(base, rows, "change in probability", "separate")
    return chart.properties(width=420, height=alt.Step(13))
