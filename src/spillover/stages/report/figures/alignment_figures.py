"""Alignment of hidden states with their counterparts: by layer, its change, and how flipped items moved. From the
tables of probe and compare alone. What does not exceed its nulls is grey, in every chart."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spillover.core.runs import Run
from spillover.stages.report.charts import (
    BLUE,
    GREY,
    ORANGE,
    Figure,
    by_category,
    by_model,
    change_cells,
    columns,
    filling,
    in_words,
    language_cells,
    line_at,
    reference_name,
    shown_cells,
    with_names,
)
from spillover.stages.report.run_tables import read_compare_table, read_probe_tables

if TYPE_CHECKING:
    import altair as alt
    import pandas as pd

POOLING = "weighted"
LEVEL = 0.95
MEASURES = {
    "mexa": "MEXA: share of items nearer to their own translation than to any other, both ways",
    "cka": "Debiased CKA: similarity of the items' geometry, whatever its rotation",
}
TITLES = {"mexa": "MEXA", "cka": "debiased CKA"}
FLIPS = {"right": "newly correct", "wrong": "newly wrong", "": "not flipped"}
HEADINGS = {
    "model": "Model", "name": "Language", "pooling": "Pooling", "layer": "Layer", "measure": "Measure",
    "before": "Before", "after": "After", "change": "Change", "value": "Value", "low": "Low", "high": "High",
    "shuffled": "Shuffled pairs", "length": "Length alone", "random_weights": "Random weights", "p": "p", "bh_q": "q",
    "clears": "Exceeds its nulls",
}  # fmt: skip


def alignment_figures(run: Run) -> list[Figure]:
    """Alignment by measure, its change, and the movement of flipped items; those that the run's tables allow."""
    cells = ("language", "pooling", "layer", "measure")
    alignment = read_probe_tables(run, "alignment", (*cells, "value", "clears"))
    changes = read_compare_table(run, "alignment_changes", (*cells, "change", "bh_q", "after"))
    items = read_compare_table(run, "items", ("language", "turned", "closer"))
    figures = []
    if alignment is not None:
        figures += [_alignment_figure(with_names(alignment), measure) for measure in MEASURES]
    if changes is not None:
        figures.append(_change_figure(with_names(changes)))
    if items is not None:
        figures.append(_movement_figure(with_names(items)))
    return figures


def _alignment_figure(table: pd.DataFrame, measure: str) -> Figure:
    rows = table[(table["measure"] == measure) & (table["pooling"] == POOLING)]
    defined = rows.dropna(subset=["value"])
    counts = [
        f"{model} {in_words(int(cells['clears'].sum()), len(cells))}"
        for model, cells in defined.groupby("model", sort=False)
    ]
    caption = (
        f"{MEASURES[measure]}; each language against {reference_name()}, by layer (position-weighted mean over the "
        "item's tokens). Grey: not above the 95th percentile of what shuffled pairs, item length alone and, where it "
        f"was run, the same architecture with random weights would give. Cells above these nulls: {', '.join(counts)}."
    )
    title = f"Are translations near each other? {TITLES[measure]}, by language and layer"
    return Figure(f"alignment-{measure}", title, alignment_heatmap(rows, measure), caption, columns(rows, HEADINGS))


def alignment_heatmap(rows: pd.DataFrame, measure: str) -> alt.FacetChart:
    """A cell per language and layer, a panel per model: one measure of each language against the reference language.
    Grey where it does not exceed its nulls or is undefined."""
    import altair as alt

    top = max(1.0 if measure == "mexa" else float(rows["value"].max(skipna=True) or 1), 1e-9)
    scale = alt.Scale(scheme="viridis", domain=[0, top], clamp=True)
    base = language_cells(rows, _by_mean(rows, "value"))
    cells = shown_cells(base, alt.Color("value:Q", title=TITLES[measure], scale=scale), "clears")
    chart = alt.layer(*cells, data=rows[["name", "layer", "model", "value", "clears"]])
    chart = chart.properties(width=500, height=alt.Step(13)).facet(by_model(rows))
    return filling(chart, rows["model"].nunique())


def _by_mean(rows: pd.DataFrame, column: str) -> list[str]:
    """The languages' names, that with the highest mean first."""
    return list(rows.groupby("name")[column].mean().sort_values(ascending=False).index)


def _change_figure(table: pd.DataFrame) -> Figure:
    rows = table[table["measure"] == "margin"]
    caption = (
        "Change in alignment: cosine of true pairs minus that of shuffled ones, after minus before. Grey: no change by "
        "a permutation test over items, after Benjamini-Hochberg over all cells. A minus sign marks a fall. Cells that "
        f"changed: {in_words(int(_changed(rows).sum()), int(rows['change'].notna().sum()))}."
    )
    title = "Did training bring translations nearer to each other?"
    return Figure("alignment-change", title, change_heatmap(rows), caption, columns(rows, HEADINGS))


def change_heatmap(rows: pd.DataFrame) -> alt.FacetChart:
    """A cell per language and layer, a panel per pooling: the change in cosine margin. Grey where the permutation test
    over items, corrected over all cells, finds nothing."""
    import altair as alt

    drawn = rows[["name", "layer", "pooling", "change"]].assign(significant=_changed(rows))
    chart = change_cells(
        language_cells(rows, _by_mean(rows, "after")), drawn, "change in cosine margin", "significant"
    )  # fmt: skip
    header = alt.Header(labelExpr="datum.value == 'last' ? 'last token' : 'position-weighted mean'")
    chart = chart.properties(width=500, height=alt.Step(13))
    return filling(chart.facet(alt.Column("pooling:N", title=None, header=header)), drawn["pooling"].nunique())


def _changed(rows: pd.DataFrame) -> pd.Series[bool]:
    return rows["bh_q"] < 1 - LEVEL


def _movement_figure(items: pd.DataFrame) -> Figure:
    caption = (
        "How far items moved, by whether their predictions flipped: mean and standard error per language. Where the "
        "colours are separate, movement and flips are associated; that is no evidence of causation."
    )
    items = items.assign(flip=items["turned"].map(FLIPS))
    moves = [name for name in ("closer", "earlier") if name in items]
    groups = items.groupby(["name", "flip"], sort=False)
    table = groups[moves].mean().assign(items=groups.size()).reset_index()
    headings = {"name": "Language", "flip": "Predictions", "items": "Items", "closer": "Moved closer (mean)"}
    table = columns(table, headings | {"earlier": "Led earlier (mean, layers)"})
    title = "Did the hidden states of flipped items move differently?"
    return Figure("flipped-items-movement", title, movement_chart(items, moves), caption, table)


def movement_chart(items: pd.DataFrame, moves: list[str]) -> alt.FacetChart:
    """Mean movement of newly correct, newly wrong and other items, per language, with the standard error; a panel per
    kind of movement. Right of 0 is closer to the counterpart, or an earlier lead in the lens."""
    import altair as alt

    titles = {
        "closer": f"closer to the {reference_name()} counterpart (cosine margin)",
        "earlier": "answer leads earlier (layers)",
    }
    rows = items.melt(["name", "flip"], value_vars=moves, var_name="move", value_name="moved")
    rows = rows.groupby(["name", "flip", "move"], sort=False)["moved"].agg(["mean", "sem", "count"]).reset_index()
    rows = rows.assign(
        move=rows["move"].map(titles), low=rows["mean"] - rows["sem"], high=rows["mean"] + rows["sem"]
    )  # fmt: skip
    labels = FLIPS.values()
    color = by_category(alt.Color, "flip", dict(zip(labels, (BLUE, ORANGE, GREY), strict=True)))
    shape = by_category(alt.Shape, "flip", dict(zip(labels, ("triangle-up", "square", "circle"), strict=True)))
    base = alt.Chart().encode(y=alt.Y("name:N", title=None), color=color)
    bars = base.mark_rule().encode(x=alt.X("low:Q", title="mean movement", axis=alt.Axis(tickCount=6)), x2="high:Q")
    size = alt.Size("count:Q", title="items", scale=alt.Scale(range=[10, 120]))
    dots = base.mark_point(filled=True, opacity=1).encode(x="mean:Q", size=size, shape=shape)
    layered = alt.layer(line_at(0), bars, dots, data=rows).properties(width=490, height=alt.Step(14))
    column = alt.Column("move:N", title=None, sort=[titles[move] for move in moves])
    return filling(layered.facet(column).resolve_scale(x="independent"), len(moves))
