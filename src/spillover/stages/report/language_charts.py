"""Charts of what the probe says of languages, from its tables alone: alignment, identity, neurons, flipped predictions.

What does not clear its null is grey, in every chart.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from spillover.core.languages import language, reference_language
from spillover.stages.report.charts import BLUE, FADED, GREEN, GREY, ORANGE, faded, minus

if TYPE_CHECKING:
    import altair as alt
    import pandas as pd

NAMES = {
    "mexa": "MEXA",
    "retrieval": "P@1 to English",
    "retrieval_back": "P@1 from English",
    "csls": "P@1, CSLS",
    "csls_back": "P@1 back, CSLS",
    "margin": "cosine margin",
    "cka": "debiased CKA",
    "svcca": "SVCCA",
    "procrustes": "Procrustes residual",
}
NULLS = {
    "value": "the model",
    "permuted": "languages exchanged",
    "length": "length alone",
    "random_weights": "random weights",
}


def alignment_heatmap(table: pd.DataFrame, measure: str, pooling: str) -> alt.LayerChart | alt.FacetChart:
    """A cell per language and layer, a panel per model (column `model`): the measure of each language against the
    reference language. Grey where it does not clear its nulls or is undefined."""
    import altair as alt

    rows = table[(table["measure"] == measure) & (table["pooling"] == pooling)]
    rows = rows.assign(name=[language(code).name for code in rows["language"]])
    order = list(rows.groupby("name")["value"].mean().sort_values(ascending=False).index)
    base = alt.Chart().encode(x=_layer_axis(rows), y=alt.Y("name:N", sort=order, title=None))
    top = max(1.0 if measure == "mexa" else float(rows["value"].max(skipna=True) or 1), 1e-9)
    scale = alt.Scale(scheme="viridis", domain=[0, top], clamp=True, reverse=measure == "procrustes")
    cells = base.mark_rect().encode(color=alt.Color("value:Q", title=NAMES[measure], scale=scale))
    layered = alt.layer(
        faded(base).transform_filter("!datum.clears"), cells.transform_filter("datum.clears"), data=_light(rows)
    )
    return layered.properties(width=300, height=alt.Step(12)).facet(_by_model(rows))


def change_heatmap(table: pd.DataFrame, measure: str, level: float = 0.95) -> alt.FacetChart:
    """A cell per language and layer, a panel per pooling: by how much the measure changed. Grey where the permutation
    test over items, corrected over all cells, finds nothing."""
    import altair as alt

    rows = table[table["measure"] == measure]
    rows = rows.assign(name=[language(code).name for code in rows["language"]], found=rows["bh_q"] < 1 - level)
    order = list(rows.groupby("name")["after"].mean().sort_values(ascending=False).index)
    base = alt.Chart().encode(x=_layer_axis(rows), y=alt.Y("name:N", sort=order, title=None))
    most = max(float(rows["change"].abs().max(skipna=True) or 0), 1e-9)
    scale = alt.Scale(scheme="blueorange", domain=[-most, most], domainMid=0)
    cells = base.mark_rect().encode(color=alt.Color("change:Q", title=f"change in {NAMES[measure]}", scale=scale))
    fell = minus(base, "change", most).transform_filter("datum.found")
    layered = alt.layer(
        faded(base).transform_filter("!datum.found"), cells.transform_filter("datum.found"), fell, data=_light(rows)
    )
    words = alt.Header(labelExpr="datum.value == 'last' ? 'last token' : 'position-weighted mean'")
    column = alt.Column("pooling:N", title=None, header=words)
    return layered.properties(width=300, height=alt.Step(12)).facet(column)


def identity_chart(table: pd.DataFrame, pooling: str) -> alt.FacetChart:
    """How well languages are identified by layer, with its interval, beside its nulls; a column per model, a row per
    measure."""
    import altair as alt

    rows = table[(table["pooling"] == pooling) & (table["language"] == "")]
    names = {"accuracy": "linear probe, accuracy", "separation": "variance between"}
    lines = rows.melt(
        ["model", "measure", "layer", "low", "high"], value_vars=[name for name in NULLS if name in rows],
        var_name="what", value_name="share",
    ).dropna(subset=["share"])  # fmt: skip
    lines = lines.assign(kind=lines["measure"].map(names))
    lines.loc[lines["what"] != "value", ["low", "high"]] = float("nan")
    lines = lines.replace({"what": NULLS})
    shown = [name for name in NULLS.values() if name in set(lines["what"])]
    colors = dict(zip(NULLS.values(), [BLUE, GREY, ORANGE, GREEN], strict=True))
    dashes = dict(zip(NULLS.values(), [[1, 0], [2, 2], [6, 2], [4, 2, 1, 2]], strict=True))
    base = alt.Chart().encode(x=alt.X("layer:Q", title="layer"))
    band = base.mark_area(opacity=0.2, color=BLUE).encode(
        y=alt.Y("low:Q", title="share", scale=alt.Scale(domain=[0, 1])), y2="high:Q"
    )
    line = base.mark_line(strokeWidth=2).encode(
        y=alt.Y("share:Q", title="share"),
        color=alt.Color("what:N", title=None, scale=alt.Scale(domain=shown, range=[colors[name] for name in shown])),
        strokeDash=alt.StrokeDash(
            "what:N", title=None, scale=alt.Scale(domain=shown, range=[dashes[name] for name in shown])
        ),
    )
    layered = alt.layer(band, line, data=lines).properties(width=250, height=140)
    return layered.facet(column=_by_model(rows), row=alt.Row("kind:N", title=None, sort=list(names.values())))


def neurons_chart(table: pd.DataFrame) -> alt.FacetChart | None:
    """Language-specific neurons by layer, over all languages, beside what exchanging languages would give; None where
    no model's could be counted."""
    import altair as alt

    sums = table[table["language"] == ""].dropna(subset=["count"])
    if not len(sums):
        return None
    sums = sums[["model", "layer", "count", "permuted", "clears"]]
    base = alt.Chart().encode(x=_layer_axis(sums))
    bars = base.mark_bar().encode(
        y=alt.Y("count:Q", title="language-specific neurons"),
        color=alt.condition("datum.clears", alt.value(BLUE), alt.value(FADED)),
    )
    null = base.mark_tick(color=ORANGE, thickness=2).encode(y="permuted:Q")
    return alt.layer(bars, null, data=sums).properties(width=300, height=140).facet(_by_model(sums))


def items_chart(table: pd.DataFrame) -> alt.FacetChart:
    """Mean movement of items that are newly correct, newly wrong or not flipped, per language, with the standard error;
    a panel per kind of movement. Right of 0 is closer to the counterpart in the reference language, or an earlier lead
    in the lens."""
    import altair as alt

    moves = {
        "closer": f"closer to the {language(reference_language()).name} counterpart (cosine margin)",
        "earlier": "answer leads earlier (layers)",
    }
    groups = {"right": "newly correct", "wrong": "newly wrong", "": "not flipped"}
    present = [move for move in moves if move in table]
    rows = table.melt(["language", "turned"], value_vars=present, var_name="move", value_name="moved")
    means = (
        rows.groupby(["language", "turned", "move"], sort=False)["moved"].agg(["mean", "sem", "count"]).reset_index()
    )
    means = means.assign(
        name=[language(code).name for code in means["language"]], group=means["turned"].map(groups),
        kind=means["move"].map(moves), low=means["mean"] - means["sem"], high=means["mean"] + means["sem"],
    )  # fmt: skip
    color = alt.Color("group:N", title=None, scale=alt.Scale(domain=list(groups.values()), range=[BLUE, ORANGE, GREY]))
    base = alt.Chart().encode(y=alt.Y("name:N", title=None), color=color)
    bars = base.mark_rule().encode(x=alt.X("low:Q", title="mean movement"), x2="high:Q")
    shapes = alt.Scale(domain=list(groups.values()), range=["triangle-up", "square", "circle"])
    dots = base.mark_point(filled=True, opacity=1).encode(
        x="mean:Q", size=alt.Size("count:Q", title="items", scale=alt.Scale(range=[10, 120])),
        shape=alt.Shape("group:N", title=None, scale=shapes),
    )  # fmt: skip
    zero = alt.Chart().mark_rule(color=GREY, strokeDash=[4, 3]).encode(x=alt.datum(0))
    layered = alt.layer(zero, bars, dots, data=means).properties(width=300, height=alt.Step(13))
    column = alt.Column("kind:N", title=None, sort=[moves[move] for move in present])
    return layered.facet(column).resolve_scale(x="independent")


def _layer_axis(rows: pd.DataFrame) -> Any:
    import altair as alt

    every = max(1, int(rows["layer"].max()) // 6)
    axis = alt.Axis(labelAngle=0, values=list(range(0, int(rows["layer"].max()) + 1, every)))
    return alt.X("layer:O", title="layer", axis=axis)


def _by_model(rows: pd.DataFrame) -> Any:
    import altair as alt

    names = list(dict.fromkeys(rows["model"]))
    return alt.Column("model:N", title=None, sort=["base", *[name for name in names if name != "base"]])


def _light(rows: pd.DataFrame) -> pd.DataFrame:
    """The columns that a heatmap needs: a chart carries its data with it."""
    wanted = ["name", "layer", "model", "pooling", "value", "change", "clears", "found"]
    return rows[[name for name in wanted if name in rows]]
