"""The logit lens, layer by layer, from the probe's tables alone: of all models in one figure, and its change."""

from __future__ import annotations

from collections.abc import Sequence
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
    YELLOW,
    Figure,
    by_category,
    change_cells,
    columns,
    filling,
    in_words,
    language_cells,
    layer_ticks,
    reference_name,
    with_names,
)
from spillover.stages.report.run_tables import read_probe_tables

if TYPE_CHECKING:
    import altair as alt
    import pandas as pd

PANELS_A_ROW = 5
PANEL, STRIP = 95, 6
REFERENCE, WRONG, RANDOM = "reference", "wrong", "random"
FIRST_TOKEN, WHOLE_WORD = "first token", "whole word"
BASE = "base"
HEADINGS = {
    "model": "Model", "name": "Language", "words": "Words", "layer": "Layer", "answer": "First token",
    "answer_low": "Low", "answer_high": "High", "wrong": "Wrong answer", "random": "Random tokens",
    "answer_clears": "Exceeds random tokens", "answer_sequence": "Whole word",
}  # fmt: skip
# Probabilities of a label on the early layers are near 1e-8, and move by as little in every training.
SMALLEST_CHANGE = 0.001


def lens_figures(run: Run) -> list[Figure]:
    """The lens of all models that were probed, in one figure, and its change from base to tuned."""
    needed = ("language", "words", "layer", "answer", "answer_sequence", "random", "answer_clears", "n")
    lens = read_probe_tables(run, "lens", needed)
    layers = read_probe_tables(run, "lens_layers", ("language", "layer", "entropy"))
    if lens is None or layers is None:
        return []
    lens, layers = with_names(lens), with_names(layers)
    figures = [_lens_figure(lens, layers)]
    by_name = {str(name): rows for name, rows in lens.groupby("model", sort=False)}
    if {BASE, "tuned"} <= set(by_name):
        figures.append(_change_figure(by_name[BASE], by_name["tuned"]))
    return figures


def _lens_figure(lens: pd.DataFrame, layers: pd.DataFrame) -> Figure:
    models = models_of(lens)
    lines = (
        ""
        if len(models) == 1
        else f" Dashed: base; solid: {models[1]}."
        if len(models) == 2 and BASE in models
        else " A dash pattern for each model."
    )
    thin = " Thin: of the whole word, where the label words share their first token." if _thin(lens) else ""
    caption = (
        f"The logit lens reads each layer as if it were the last: probability of the right answer's first token, mean "
        f"of {int(lens['n'].min())} items a language with the 95 % interval.{lines}{thin} Beside it the other answer, "
        f"which is wrong, and as many random tokens, the null. Strip below: entropy of {', then '.join(models)}; dark "
        f"is undecided. Above the null at the last layer: {_last_layer_counts(lens)}."
    )
    title = "How probable is the right answer at each layer? (logit lens)"
    return Figure("lens", title, lens_grid(lens, layers), caption, columns(lens, HEADINGS))


def models_of(rows: pd.DataFrame) -> list[str]:
    """The models of a table, the base first."""
    return sorted(rows["model"].unique(), key=lambda name: name != BASE)


def _thin(lens: pd.DataFrame) -> bool:
    """Whether some target set has no first token of its own at any layer."""
    return bool(lens.groupby(["name", "words"])["answer"].count().eq(0).any())


def _last_layer_counts(lens: pd.DataFrame) -> str:
    last = lens[(lens["layer"] == lens["layer"].max()) & lens["answer"].notna()]
    sets = target_sets()
    parts = []
    for words, rows in last.groupby("words", sort=False):
        counts = [in_words(int(rows["answer_clears"][rows["model"] == name].sum()), int((rows["model"] == name).sum()))
                  for name in models_of(rows)]  # fmt: skip
        parts.append(f"{sets[str(words)]} in {' → '.join(counts)} languages")
    return "; ".join(parts) or "nothing"


def target_sets() -> dict[str, str]:
    """The lens's target sets, as a legend names them, and what they are compared with."""
    return {
        REFERENCE: f"{reference_name()} answer",
        "native": "native answer",
        "romanised": "romanised answer",
        "asked": "the label set's answer",
        WRONG: f"wrong {reference_name()} answer",
        RANDOM: "random tokens",
    }


def lens_grid(lens: pd.DataFrame, layers: pd.DataFrame) -> alt.FacetChart:
    """A panel per language with the lines of every model: probability of the right label's first token by layer with
    its interval, the wrong label's, and random tokens; below it a strip of entropy per model, dark where the layer is
    undecided. Models differ in dash, the base's is broken; target sets in colour and mark."""
    import altair as alt
    import pandas as pd

    models = models_of(lens)
    curves = lens_curves(lens)
    strips = layers[["name", "model", "entropy"]].assign(left=layers["layer"] - 0.5, right=layers["layer"] + 0.5)
    rows = pd.concat([curves, strips], ignore_index=True)
    colors = dict(zip(target_sets().values(), (BLUE, ORANGE, GREEN, YELLOW, PURPLE, GREY), strict=True))
    present = [name for name in colors if (curves["words"] == name).any()]
    color = by_category(
        alt.Color, "words", {name: colors[name] for name in present}, legend=alt.Legend(symbolOpacity=1)
    )  # fmt: skip
    shape = by_category(alt.Shape, "words", dict(zip(present, SHAPES, strict=False)))
    dash = by_category(alt.StrokeDash, "model", model_dashes(models))
    widths = alt.Scale(domain=[FIRST_TOKEN, WHOLE_WORD], range=[1.8, 0.7])
    # Ordinal: Vega-Lite warns of a width of names without an order.
    width = alt.StrokeWidth("measure:O", scale=widths, legend=None)
    edges = alt.Scale(domain=[-0.5, int(layers["layer"].max()) + 0.5], nice=False)
    axis = alt.Axis(offset=STRIP * len(models) + 2, values=layer_ticks(layers), grid=False)
    shares = alt.Scale(domain=[0, max(1e-3, float(curves["high"].max(skipna=True)))])
    y = alt.Y("value:Q", scale=shares, title="probability")
    base = alt.Chart().transform_filter("isValid(datum.value)")
    base = base.encode(x=alt.X("layer:Q", title="layer", scale=edges, axis=axis), color=color, detail="model:N")
    band = base.mark_area(opacity=0.13).encode(y=alt.Y("low:Q", scale=shares, title="probability"), y2="high:Q")
    line = base.mark_line().encode(y=y, strokeDash=dash, strokeWidth=width)
    # A few marks on each line: in print colours are one grey.
    every = max(2, int(layers["layer"].max()) // 5)
    some = base.transform_filter(f"datum.layer % {every} == 1")
    marks = some.mark_point(filled=True, size=24, opacity=1).encode(y=y, shape=shape)
    darkness = alt.Scale(domain=[0, float(layers["entropy"].max())], range=[0.05, 1])
    strip = [
        alt.Chart()
        .transform_filter(alt.FieldEqualPredicate(field="model", equal=name))
        .transform_filter("isValid(datum.entropy)")
        .mark_rect(color=GREY, strokeWidth=0)
        .encode(
            x=alt.X("left:Q", title="layer", scale=edges), x2="right:Q",
            y=alt.value(PANEL + i * STRIP), y2=alt.value(PANEL + (i + 1) * STRIP - 1),
            opacity=alt.Opacity("entropy:Q", title="entropy (bits)", scale=darkness, legend=alt.Legend(tickCount=4)),
        )
        for i, name in enumerate(models)
    ]  # fmt: skip
    layered = alt.layer(band, line, marks, *strip, data=rows).properties(width=185, height=PANEL)
    order = list(dict.fromkeys(rows["name"]))
    facet = layered.facet(alt.Facet("name:N", title=None, sort=order), columns=PANELS_A_ROW)
    return filling(facet, min(PANELS_A_ROW, len(order)))


def model_dashes(models: Sequence[str]) -> dict[str, list[int]]:
    """A dash for each model: the base's broken where there are others, so that the solid line is the tuned model's."""
    if len(models) == 1:
        return {models[0]: SOLID}
    others = [name for name in models if name != BASE]
    patterns = [SOLID, [2, 2], [8, 2, 2, 2], [10, 3], [1, 3]]
    dashes = {name: patterns[i % len(patterns)] for i, name in enumerate(others)}
    return ({BASE: [4, 2]} if BASE in models else {}) | dashes


def lens_curves(lens: pd.DataFrame) -> pd.DataFrame:
    """Long rows: model, name, layer, words, measure, value, low, high. The measure is the first token; the whole word
    where a target set of a language has no first token of its own at any layer."""
    import pandas as pd

    keys = ["model", "name", "layer", "words"]
    undefined = lens.groupby(["name", "words"])["answer"].transform("count").eq(0)
    parts = [
        rows[[*keys, column, f"{column}_low", f"{column}_high"]]
        .set_axis([*keys, "value", "low", "high"], axis=1)
        .assign(measure=measure)
        for measure, column, rows in (
            (FIRST_TOKEN, "answer", lens[~undefined]),
            (WHOLE_WORD, "answer_sequence", lens[undefined]),
        )
    ]
    null = lens.groupby(["model", "name", "layer"], sort=False)[RANDOM].mean().reset_index()
    parts.append(null.rename(columns={RANDOM: "value"}).assign(words=RANDOM, measure=FIRST_TOKEN))
    if WRONG in lens:
        wrong = lens[lens["words"] == REFERENCE].rename(columns={WRONG: "value"})
        parts.append(wrong[["model", "name", "layer", "value"]].assign(words=WRONG, measure=FIRST_TOKEN))
    rows = pd.concat(parts, ignore_index=True).dropna(subset=["value"])
    return rows.assign(words=rows["words"].map(target_sets()))


def _change_figure(before: pd.DataFrame, after: pd.DataFrame) -> Figure:
    rows = lens_changes(before, after, REFERENCE)
    caption = (
        f"Change in the probability of the {reference_name()} answer's first token, tuned minus base. Grey: the "
        f"intervals overlap, or the change is below {SMALLEST_CHANGE:g}. A minus sign marks a fall. Coloured cells: "
        f"{in_words(int(rows['shown'].sum()), len(rows))}."
    )
    title = "At which layers did training change the lens?"
    headings = {"name": "Language", "layer": "Layer", "answer_before": "Base", "answer_after": "Tuned"}
    return Figure("lens-change", title, change_chart(rows), caption, columns(rows, headings | {"change": "Change"}))


def lens_changes(before: pd.DataFrame, after: pd.DataFrame, words: str) -> pd.DataFrame:
    """A row per language and layer: the answer before and after, its `change`, and whether it is `shown`: the two
    intervals are separate, and the change is no rounding of a tiny probability. words: the target set."""
    rows = before[before["words"] == words].merge(
        after, on=["name", "layer", "words"], suffixes=("_before", "_after")
    )  # fmt: skip
    rose = rows["answer_low_after"] > rows["answer_high_before"]
    fell = rows["answer_high_after"] < rows["answer_low_before"]
    change = rows["answer_after"] - rows["answer_before"]
    return rows.assign(change=change, shown=(rose | fell) & (change.abs() >= SMALLEST_CHANGE))


def change_chart(rows: pd.DataFrame) -> alt.LayerChart:
    """A cell per language and layer of `lens_changes`. Grey where it is not `shown`."""
    import altair as alt

    rows = rows[["name", "layer", "change", "shown"]]
    base = language_cells(rows, list(dict.fromkeys(rows["name"])))
    chart = change_cells(base, rows, "change in probability", "shown")
    return filling(chart.properties(width=1070, height=alt.Step(13)))
