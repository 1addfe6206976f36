"""Charts of a comparison: the change per language, what it is made of, the real arm against others, seeds, transfer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from spillover.core.languages import language, reference_language
from spillover.stages.compare.result import Outcome
from spillover.stages.report.charts import BLUE, FADED, GREEN, GREY, ORANGE, Figure, columns, slug

if TYPE_CHECKING:
    import altair as alt
    import pandas as pd

    from spillover.stages.compare.result import Comparison

PARTS = {"prior_repair": "label-bias component", "calibrated_accuracy": "calibrated component"}
GROUPS = {"all": "all languages", "seen": "trained on", "unseen": "unseen"}


def kinds() -> dict[str, tuple[str, str]]:
    """Colour and shape of each kind of language, by its name in the legend."""
    reference = language(reference_language()).name
    return {"trained on": (ORANGE, "diamond"), "unseen": (BLUE, "circle"), reference: (GREEN, "square")}


def change_figure(found: Comparison, chance: float | None) -> Figure:
    """A dot and its interval per language, sorted by the change in accuracy, with a zero line; beside it accuracy
    before and after, with the line of chance. Trained-on, unseen and the reference language look different."""
    import altair as alt

    rows = _rows(found)
    width = 100 * found.level
    chart = alt.hconcat(_changes(rows), _levels(rows, chance), spacing=14).properties(usermeta={"narrow": "first"})
    line = f" Dotted: chance, {100 * chance:.0f} %." if chance else ""
    text = (
        f"Change in accuracy by language, with its {width:g} % interval (paired by item); beside it accuracy before "
        f"(hollow) and after (filled).{line} An interval that crosses the dashed line at 0 shows no change. Intervals "
        "are not corrected for the number of languages; the table below has Holm's p."
    )
    return Figure(f"change-{slug(found.task)}", chart, text, columns(rows, CHANGE_HEADINGS))


CHANGE_HEADINGS = {
    "name": "Language", "kind": "Kind", "before": "Accuracy before (%)", "after": "After (%)",
    "delta": "Change (points)", "low": "Low", "high": "High", "p": "Holm p",
}  # fmt: skip


def _rows(found: Comparison) -> pd.DataFrame:
    table = found.languages
    reference = reference_language()
    kind = [
        "trained on" if seen else language(code).name if code == reference else "unseen"
        for code, seen in zip(table["language"], table["seen"], strict=True)
    ]
    ends = {name: 100 * table[f"accuracy_{name}"] for name in ("before", "after", "delta", "low", "high")}
    names = [language(code).name for code in table["language"]]
    rows = table[["language"]].assign(name=names, kind=kind, p=table["holm_p"], **ends)
    return rows.sort_values("delta", ascending=False, kind="stable")


def _changes(rows: pd.DataFrame) -> alt.LayerChart:
    import altair as alt

    shown = {name: look for name, look in kinds().items() if (rows["kind"] == name).any()}
    legend = alt.Legend(orient="top", symbolSize=90)
    color = alt.Color(
        "kind:N", title=None, legend=legend, scale=alt.Scale(domain=list(shown), range=[c for c, _ in shown.values()])
    )
    shape = alt.Shape(
        "kind:N", title=None, legend=legend, scale=alt.Scale(domain=list(shown), range=[s for _, s in shown.values()])
    )
    tip = [alt.Tooltip("name:N", title="language"), alt.Tooltip("delta:Q", title="change (points)", format="+.1f")]
    tip += [alt.Tooltip("low:Q", format="+.1f"), alt.Tooltip("high:Q", format="+.1f")]
    base = alt.Chart(rows).encode(y=alt.Y("name:N", sort=list(rows["name"]), title=None), tooltip=tip)
    bars = base.mark_rule(strokeWidth=2).encode(
        x=alt.X("low:Q", title="change in accuracy (points)"), x2="high:Q", color=color
    )
    dots = base.mark_point(filled=True, opacity=1).encode(
        x="delta:Q", color=color, shape=shape,
        size=alt.condition("datum.kind == 'trained on'", alt.value(130), alt.value(75)),
    )  # fmt: skip
    return alt.layer(_line_at(0, [5, 3]), bars, dots, data=rows).properties(width=255, height=alt.Step(18))


def _levels(rows: pd.DataFrame, chance: float | None) -> alt.LayerChart:
    import altair as alt

    lowest = min(40.0, float(rows[["before", "after"]].min().min()))
    scale = alt.Scale(domain=[10 * (lowest // 10), 100], nice=False, zero=False)
    x = alt.X("before:Q", title="accuracy (%), before and after", scale=scale)
    tip = [alt.Tooltip("name:N", title="language"), *(alt.Tooltip(f"{n}:Q", format=".1f") for n in ("before", "after"))]
    base = alt.Chart().encode(y=alt.Y("name:N", sort=list(rows["name"]), title=None, axis=None), tooltip=tip)
    lines = base.mark_rule(color=GREY, strokeWidth=1.5).encode(x=x, x2="after:Q")
    before = base.mark_point(filled=False, size=40, color=GREY, opacity=1, strokeWidth=1.5).encode(x=x)
    after = base.mark_point(filled=True, size=45, color=GREY, opacity=1).encode(x="after:Q")
    layers: list[Any] = [lines, before, after]
    if chance:
        layers.insert(0, _line_at(100 * chance, [2, 3], scale))
    return alt.layer(*layers, data=rows).properties(width=170, height=alt.Step(18))


def split_figure(found: Comparison) -> Figure | None:
    """What each change is made of, and the change in AUROC, which no prior moves; None where neither is defined."""
    import altair as alt
    import pandas as pd

    table = found.languages
    if not table["calibrated_accuracy_delta"].notna().any():
        return None
    names = [language(code).name for code in table["language"]]
    order = list(_rows(found)["name"])
    parts = [
        table[["language"]].assign(
            name=names, part=label, **{end: 100 * table[f"{part}_{end}"] for end in ("delta", "low", "high")}
        )
        for part, label in PARTS.items()
    ]
    rows = pd.concat(parts, ignore_index=True).dropna(subset=["delta"])
    look = {"scale": alt.Scale(domain=list(PARTS.values()), range=[ORANGE, BLUE]), "title": None}
    legend = alt.Legend(orient="top")
    base = alt.Chart(rows).encode(
        y=alt.Y("name:N", sort=order, title=None), yOffset=alt.YOffset("part:N", sort=list(PARTS.values())),
        color=alt.Color("part:N", legend=legend, **look),
    )  # fmt: skip
    shape = alt.Shape(
        "part:N", title=None, legend=legend, scale=alt.Scale(domain=list(PARTS.values()), range=["square", "circle"])
    )
    bars = base.mark_rule(strokeWidth=1.5).encode(x=alt.X("low:Q", title="part of the change (points)"), x2="high:Q")
    dots = base.mark_point(filled=True, size=45, opacity=1).encode(x="delta:Q", shape=shape)
    left = alt.layer(_line_at(0, [5, 3]), bars, dots, data=rows).properties(width=330, height=_step(22))
    areas = table[["language"]].assign(
        name=names, **{end: table[f"auroc_{end}"] for end in ("before", "after", "delta", "low", "high")}
    )
    one = alt.Chart().encode(y=alt.Y("name:N", sort=order, title=None, axis=None))
    spans = one.mark_rule(strokeWidth=1.5, color=GREEN).encode(x=alt.X("low:Q", title="change in AUROC"), x2="high:Q")
    marks = one.mark_point(filled=True, size=45, opacity=1, color=GREEN, shape="diamond").encode(x="delta:Q")
    right = alt.layer(_line_at(0, [5, 3]), spans, marks, data=areas).properties(width=240, height=_step(22))
    text = (
        "What each change is made of: the label-bias component and the calibrated component (discrimination), which "
        "add up to the change. Right: the change in AUROC, which no label bias moves. Where accuracy rises and AUROC "
        "does not, accuracy misleads."
    )
    wide = rows.pivot(index="name", columns="part", values=["delta", "low", "high"]).loc[
        [name for name in order if name in set(rows["name"])]
    ]
    numbers = pd.DataFrame({"Language": wide.index})
    for label in PARTS.values():
        for end in ("delta", "low", "high"):
            heading = f"{label} (points)" if end == "delta" else f"{label}, {end}"
            numbers[heading[0].upper() + heading[1:]] = wide[(end, label)].to_numpy()
    merged = numbers.merge(
        columns(areas, {"name": "Language", "delta": "AUROC change", "low": "AUROC low", "high": "AUROC high"})
    )
    chart = alt.hconcat(left, right, spacing=14).properties(usermeta={"narrow": "first"})
    return Figure(f"split-{slug(found.task)}", chart, text, merged)


def _step(pixels: int) -> Any:
    """So many pixels for each row, however many marks stand in it beside each other."""
    return {"step": pixels, "for": "position"}


def _line_at(value: float, dash: list[int], scale: Any = None) -> alt.Chart:
    import altair as alt

    once = alt.Chart(alt.Data(values=[{}]))
    x = alt.XDatum(value) if scale is None else alt.XDatum(value, scale=scale)
    return once.mark_rule(color=GREY, strokeDash=dash, strokeWidth=1.5).encode(x=x)


def contrast_figure(found: Comparison) -> Figure | None:
    """The change of the real arm less that of each other arm, over groups of languages; None for one run alone."""
    import altair as alt

    if found.contrasts is None:
        return None
    table = found.contrasts[found.contrasts["kind"].isin(("all", "training"))]
    rows = table[table["metric"].isin(("accuracy", "calibrated_accuracy"))]
    metrics = {"accuracy": "accuracy", "calibrated_accuracy": "calibrated accuracy"}
    rows = rows.assign(
        metric=rows["metric"].map(metrics), group=rows["group"].map(GROUPS), arm="against " + rows["against"],
        **{end: 100 * rows[end] for end in ("delta", "low", "high")},
    )  # fmt: skip
    look = alt.Color("metric:N", title=None, scale=alt.Scale(domain=list(metrics.values()), range=[ORANGE, BLUE]))
    shape = alt.Shape(
        "metric:N", title=None, scale=alt.Scale(domain=list(metrics.values()), range=["square", "circle"])
    )
    base = alt.Chart().encode(
        y=alt.Y("group:N", title=None, sort=list(GROUPS.values())),
        yOffset=alt.YOffset("metric:N", sort=list(metrics.values())), color=look,
    )  # fmt: skip
    bars = base.mark_rule(strokeWidth=2).encode(x=alt.X("low:Q", title="real arm less the other (points)"), x2="high:Q")
    dots = base.mark_point(filled=True, size=60, opacity=1).encode(x="delta:Q", shape=shape)
    layered = alt.layer(_line_at(0, [5, 3]), bars, dots, data=rows).properties(width=270, height=_step(30))
    chart = layered.facet(facet=alt.Facet("arm:N", title=None, sort=list(dict.fromkeys(rows["arm"]))), columns=2)
    text = (
        "The change of the real arm less the change of each other arm, paired by item. Only an interval to the right "
        "of 0 says that what the real arm was trained on did more than the other."
    )
    named = {
        "against": "Against", "group": "Languages", "metric": "What", "delta": "Difference (points)", "low": "Low",
        "high": "High", "holm_p": "Holm p", "verdict": "Verdict",
    }  # fmt: skip
    return Figure(f"placebo-{slug(found.task)}", chart, text, columns(rows, named))


def seeds_figure(found: Comparison) -> Figure | None:
    """Each seed's change as a tick, and the estimate over all with its interval; None without several seeds."""
    import altair as alt

    if found.seeds is None:
        return None
    table = found.seeds
    rows = table[(table["metric"] == "accuracy") & table["kind"].isin(("all", "training"))]
    rows = rows.assign(
        group=rows["group"].map(GROUPS), **{end: 100 * rows[end] for end in ("delta", "low", "high")}
    ).reset_index(drop=True)
    single = rows[["arm", "group", "deltas"]].explode("deltas")
    single = single.assign(seed=100 * single["deltas"].astype(float)).drop(columns="deltas")
    y = alt.Y("group:N", title=None, sort=list(GROUPS.values()))
    drawn = rows[["arm", "group", "delta", "low", "high"]].merge(single, on=["arm", "group"])
    base = alt.Chart().encode(y=y)
    bars = base.mark_rule(strokeWidth=2, color=BLUE).encode(x=alt.X("low:Q", title="change (points)"), x2="high:Q")
    dots = base.mark_point(filled=True, size=80, opacity=1, color=BLUE, shape="diamond").encode(x="delta:Q")
    ticks = base.mark_tick(color=ORANGE, thickness=2, size=16).encode(x="seed:Q")
    layered = alt.layer(_line_at(0, [5, 3]), bars, ticks, dots, data=drawn).properties(width=270, height=alt.Step(26))
    chart = layered.facet(facet=alt.Facet("arm:N", title=None), columns=2)
    text = (
        "Change in accuracy of each seed (ticks), and the estimate over all seeds, whose interval takes the items' "
        "error and the spread between seeds."
    )
    named = {
        "arm": "Arm", "group": "Languages", "seeds": "Seeds", "delta": "Change (points)", "low": "Low", "high": "High",
        "seed_deviation": "Deviation between seeds (share)", "verdict": "Verdict",
    }  # fmt: skip
    return Figure(f"seeds-{slug(found.task)}", chart, text, columns(rows, named))


def transfer_figure(runs: list[tuple[str, Comparison]]) -> Figure:
    """A row per run by what it was trained on, a column per language it was evaluated on: the change in accuracy. Grey
    where the test finds none; a minus stands in what fell; framed: trained on."""
    import altair as alt
    import pandas as pd

    task = runs[0][1].task
    parts = [
        found.languages[["language", "seen", "verdict", "holm_p"]].assign(
            run=name, change=100 * found.languages["accuracy_delta"], place=range(len(found.languages))
        )
        for name, found in runs
    ]
    rows = pd.concat(parts, ignore_index=True)
    rows = rows.assign(
        name=[language(code).name for code in rows["language"]],
        found=rows["verdict"].isin((Outcome.IMPROVED.value, Outcome.WORSE.value)),
        text=rows["change"].map(lambda value: f"{value:+.0f}"),
    )  # fmt: skip
    most = max(float(rows["change"].abs().max()), 1e-9)
    y = alt.Y("run:N", title="trained on", sort=[name for name, _ in runs], axis=alt.Axis(labelLimit=220))
    x = alt.X("name:N", title="evaluated on", sort=list(dict.fromkeys(rows["name"])), axis=alt.Axis(labelAngle=-60))
    base = alt.Chart().encode(x=x, y=y)
    scale = alt.Scale(scheme="blueorange", domain=[-most, most], domainMid=0)
    cells = base.mark_rect().encode(color=alt.Color("change:Q", title="change (points)", scale=scale))
    faded = base.mark_rect(color=FADED)
    frames = base.mark_rect(fill=None, stroke=GREY, strokeWidth=2)
    text = base.mark_text(fontSize=9, color="black").encode(text="text:N")
    chart = alt.layer(
        faded.transform_filter("!datum.found"), cells.transform_filter("datum.found"),
        frames.transform_filter("datum.seen"), text, data=rows,
    ).properties(width=alt.Step(27), height=alt.Step(24))  # fmt: skip
    caption = (
        f"Transfer on {task}: change in accuracy (points) by what a run was trained on and where it was evaluated. "
        "Grey: the test finds no change (Holm over the run's languages). Framed: trained on."
    )
    named = {
        "run": "Trained on", "name": "Evaluated on", "change": "Change (points)", "holm_p": "Holm p",
        "verdict": "Verdict",
    }  # fmt: skip
    return Figure(f"transfer-{slug(task)}", chart, caption, columns(rows, named))
