"""The change in a comparison: by language, its two components, the real arm against others, seeds, transfer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from spillover.core.languages import reference_language
from spillover.stages.compare.measures import Measure
from spillover.stages.compare.result import Comparison, Outcome
from spillover.stages.report.charts import (
    BLUE,
    FADED,
    GREEN,
    GREY,
    ORANGE,
    Figure,
    by_category,
    columns,
    diverging,
    filling,
    line_at,
    reference_name,
    slug,
    with_names,
)

if TYPE_CHECKING:
    import altair as alt
    import pandas as pd

DOTTED = [2, 3]
COMPONENTS = {"prior_repair": "label-bias component", "calibrated_accuracy": "calibrated component"}
GROUPS = {"all": "all languages", "seen": "trained on", "unseen": "unseen"}
ENDS = ("delta", "low", "high")


def comparison_figures(comparison: Comparison, chance: float | None) -> dict[str, Figure]:
    """The figures of one task by subject: change, components, placebo, seeds; those that its tables allow. chance:
    accuracy of a guess, None where it is not known."""
    figures = {
        "change": change_figure(comparison, chance),
        "components": components_figure(comparison),
        "placebo": contrast_figure(comparison),
        "seeds": seeds_figure(comparison),
    }
    return {subject: figure for subject, figure in figures.items() if figure is not None}


def change_figure(comparison: Comparison, chance: float | None) -> Figure:
    """A dot and its interval per language, sorted by the change in the primary measure, with a zero line; beside it the
    measure before and after, with the line of chance. Trained-on, unseen and the reference language look different."""
    import altair as alt

    rows, measure = _by_change(comparison), comparison.measure
    chance = measure.at_chance(chance)
    chart = alt.hconcat(_changes(rows, measure), _before_after(rows, measure, chance), spacing=14)
    percent, in_percent = (" %", " (%)") if measure.of_hits else ("", "")
    chance_line = f" Dotted: chance, {measure.factor * chance:.3g}{percent}." if chance else ""
    caption = (
        f"Change in {measure.title} by language, with its {100 * comparison.level:g} % interval (paired by item); "
        f"beside it {measure.title} before (hollow) and after (filled).{chance_line} An interval that crosses the "
        "dashed line at 0 shows no change. Intervals are not corrected for the number of languages; the table below "
        "has Holm's p."
    )
    headings = {
        "name": "Language", "kind": "Kind", "before": f"{_capital(measure.title)} before{in_percent}",
        "after": f"After{in_percent}", "delta": f"Change{measure.unit}", "low": "Low", "high": "High", "p": "Holm p",
    }  # fmt: skip
    chart = chart.properties(usermeta={"narrow": "first"})
    title = f"Change in {measure.title} by language, and {measure.title} before and after"
    return Figure(f"change-{slug(comparison.task)}", title, chart, caption, columns(rows, headings))


def _by_change(comparison: Comparison) -> pd.DataFrame:
    """name, kind, before, after, delta, low, high (as they are written) and p of the primary measure in each language,
    the largest change first."""
    table, measure = comparison.languages, comparison.measure
    reference = reference_language()
    kinds = [
        "trained on" if seen else reference_name() if code == reference else "unseen"
        for code, seen in zip(table["language"], table["seen"], strict=True)
    ]
    values = {name: measure.factor * table[f"{measure.metric}_{name}"] for name in ("before", "after", *ENDS)}
    rows = with_names(table[["language"]]).assign(kind=kinds, p=table["holm_p"], **values)
    return rows.sort_values("delta", ascending=False, kind="stable")


def _changes(rows: pd.DataFrame, measure: Measure) -> alt.LayerChart:
    import altair as alt

    colors = {"trained on": ORANGE, "unseen": BLUE, reference_name(): GREEN}
    shapes = {"trained on": "diamond", "unseen": "circle", reference_name(): "square"}
    present = [kind for kind in colors if (rows["kind"] == kind).any()]
    legend = alt.Legend(orient="top", symbolSize=90)
    color = by_category(alt.Color, "kind", {kind: colors[kind] for kind in present}, legend=legend)
    shape = by_category(alt.Shape, "kind", {kind: shapes[kind] for kind in present}, legend=legend)
    signed = f"+{measure.number_format}"
    tip = [alt.Tooltip("name:N", title="language")]
    tip += [alt.Tooltip("delta:Q", title=f"change{measure.unit}", format=signed)]
    tip += [alt.Tooltip("low:Q", format=signed), alt.Tooltip("high:Q", format=signed)]
    base = alt.Chart().encode(y=_language_rows(rows["name"]), color=color, tooltip=tip)
    size = alt.condition("datum.kind == 'trained on'", alt.value(130), alt.value(75))
    bars = base.mark_rule(strokeWidth=2).encode(
        x=alt.X("low:Q", title=f"change in {measure.title}{measure.unit}", scale=_with_margin()), x2="high:Q"
    )  # fmt: skip
    dots = base.mark_point(filled=True, opacity=1).encode(x="delta:Q", shape=shape, size=size)
    return alt.layer(line_at(0), bars, dots, data=rows).properties(width=350, height=alt.Step(18))


def _before_after(rows: pd.DataFrame, measure: Measure, chance: float | None) -> alt.LayerChart:
    import altair as alt

    lowest = min(40.0, 100 / measure.factor * float(rows[["before", "after"]].min().min()))
    scale = alt.Scale(domain=[measure.factor / 10 * (lowest // 10), measure.factor], nice=False, zero=False)
    x = alt.X("before:Q", title=f"{measure.title}{' (%)' * measure.of_hits}, before and after", scale=scale)
    written = [alt.Tooltip(f"{name}:Q", format=measure.number_format) for name in ("before", "after")]
    tip = [alt.Tooltip("name:N", title="language"), *written]
    base = alt.Chart().encode(y=_language_rows(rows["name"], axis=None), tooltip=tip)
    lines = base.mark_rule(color=GREY, strokeWidth=1.5).encode(x=x, x2="after:Q")
    before = base.mark_point(filled=False, size=40, color=GREY, opacity=1, strokeWidth=1.5).encode(x=x)
    after = base.mark_point(filled=True, size=45, color=GREY, opacity=1).encode(x="after:Q")
    chance_line = [line_at(measure.factor * chance, DOTTED, scale=scale)] if chance else []
    return alt.layer(*chance_line, lines, before, after, data=rows).properties(width=235, height=alt.Step(18))


def _capital(title: str) -> str:
    return title[0].upper() + title[1:]


def _with_margin() -> alt.Scale:
    """Room at both ends, so that an interval does not end on the frame, where it looks cut off."""
    import altair as alt

    return alt.Scale(padding=8)


def _language_rows(order: Any, **options: Any) -> alt.Y:
    import altair as alt

    return alt.Y("name:N", sort=list(order), title=None, **options)


def components_figure(comparison: Comparison) -> Figure | None:
    """The two components of each change, and the change in AUROC, which no label bias moves; None where neither is
    defined."""
    import altair as alt
    import pandas as pd

    table = with_names(comparison.languages)
    if not table["calibrated_accuracy_delta"].notna().any():
        return None
    order = list(_by_change(comparison)["name"])
    rows = pd.concat(
        [
            table[["name"]].assign(component=label, **{end: 100 * table[f"{metric}_{end}"] for end in ENDS})
            for metric, label in COMPONENTS.items()
        ],
        ignore_index=True,
    ).dropna(subset=["delta"])
    labels = list(COMPONENTS.values())
    base = alt.Chart().encode(
        y=_language_rows(order), yOffset=alt.YOffset("component:N", sort=labels),
        color=by_category(alt.Color, "component", dict(zip(labels, (ORANGE, BLUE), strict=True)), ),
    )  # fmt: skip
    shape = by_category(alt.Shape, "component", dict(zip(labels, ("square", "circle"), strict=True)))
    bars = base.mark_rule(strokeWidth=1.5).encode(
        x=alt.X("low:Q", title="component (points)", scale=_with_margin()), x2="high:Q"
    )
    dots = base.mark_point(filled=True, size=45, opacity=1).encode(x="delta:Q", shape=shape)
    left = alt.layer(line_at(0), bars, dots, data=rows).properties(width=590, height=_row_height(22))
    areas = table[["name"]].assign(**{end: table[f"auroc_{end}"] for end in ENDS})
    base = alt.Chart().encode(y=_language_rows(order, axis=None))
    bars = base.mark_rule(strokeWidth=1.5, color=GREEN).encode(
        x=alt.X("low:Q", title="change in AUROC", scale=_with_margin(), axis=alt.Axis(tickCount=6)), x2="high:Q"
    )
    dots = base.mark_point(filled=True, size=45, opacity=1, color=GREEN, shape="diamond").encode(x="delta:Q")
    right = alt.layer(line_at(0), bars, dots, data=areas).properties(width=430, height=_row_height(22))
    caption = (
        "The two components of each change in accuracy: the label-bias component, which calibration alone would give, "
        "and the calibrated component, the change in calibrated accuracy; they add up to the change. Right: the change "
        "in AUROC, which no label bias moves. Where accuracy rises and AUROC does not, accuracy misleads."
    )
    chart = alt.hconcat(left, right, spacing=14).properties(usermeta={"narrow": "first"})
    title = "What the change is made of: label bias, or a better separation of the labels"
    return Figure(f"components-{slug(comparison.task)}", title, chart, caption, _components_table(table, order))


def _components_table(table: pd.DataFrame, order: Sequence[str]) -> pd.DataFrame:
    """Both components and the change in AUROC of each language that has them."""
    headings: dict[str, str] = {}
    for metric, label in COMPONENTS.items():
        label = label[0].upper() + label[1:]
        headings |= {f"{metric}_delta": f"{label} (points)"}
        headings |= {f"{metric}_{end}": f"{label}, {end}" for end in ENDS[1:]}
    rows = table.assign(**{name: 100 * table[name] for name in headings}).set_index("name").loc[list(order)]
    rows = rows.dropna(subset=["calibrated_accuracy_delta"]).reset_index()
    headings = {"name": "Language"} | headings
    headings |= {"auroc_delta": "AUROC change", "auroc_low": "AUROC low", "auroc_high": "AUROC high"}
    return columns(rows, headings)


def _row_height(pixels: int) -> Any:
    """So many pixels for each row, however many marks stand in it beside each other."""
    return {"step": pixels, "for": "position"}


def contrast_figure(comparison: Comparison) -> Figure | None:
    """The change of the real arm less that of each other arm, over groups of languages; None for one run alone."""
    import altair as alt

    if comparison.contrasts is None:
        return None
    rows, measure = comparison.contrasts, comparison.measure
    # What has another unit than the primary measure is in the table of the page alone.
    drawn_measures = [measure, *(other for other in comparison.secondary if other.of_hits == measure.of_hits)]
    titles = {drawn.metric: drawn.title for drawn in drawn_measures}
    rows = rows[rows["kind"].isin(("all", "training")) & rows["metric"].isin(list(titles))]
    rows = rows.assign(
        metric=rows["metric"].map(titles), group=rows["group"].map(GROUPS), arm="against " + rows["against"],
        **{end: measure.factor * rows[end] for end in ENDS},
    )  # fmt: skip
    labels = list(titles.values())
    colors = dict(zip(labels, (ORANGE, BLUE), strict=False))
    shapes = dict(zip(labels, ("square", "circle"), strict=False))
    base = alt.Chart().encode(
        y=alt.Y("group:N", title=None, sort=list(GROUPS.values())), yOffset=alt.YOffset("metric:N", sort=labels),
        color=by_category(alt.Color, "metric", colors),
    )  # fmt: skip
    shape = by_category(alt.Shape, "metric", shapes)
    bars = base.mark_rule(strokeWidth=2).encode(
        x=alt.X("low:Q", title=f"real arm less the other, {measure.title}{measure.unit}"), x2="high:Q"
    )
    dots = base.mark_point(filled=True, size=60, opacity=1).encode(x="delta:Q", shape=shape)
    drawn = rows[["arm", "group", "metric", *ENDS]]
    layered = alt.layer(line_at(0), bars, dots, data=drawn).properties(width=440, height=_row_height(30))
    arms = list(dict.fromkeys(rows["arm"]))
    facet = layered.facet(facet=alt.Facet("arm:N", title=None, sort=arms), columns=2)
    chart = filling(facet, min(2, len(arms)))
    caption = (
        "The change of the real arm less the change of each other arm, paired by item. Only an interval to the right "
        "of 0 says that what the real arm was trained on did more than the other."
    )
    headings = {
        "against": "Against", "group": "Languages", "metric": "Measure", "delta": f"Difference{measure.unit}",
        "low": "Low", "high": "High", "holm_p": "Holm p", "verdict": "Verdict",
    }  # fmt: skip
    title = f"Real arm against placebo: {comparison.task}"
    return Figure(f"placebo-{slug(comparison.task)}", title, chart, caption, columns(rows, headings))


def seeds_figure(comparison: Comparison) -> Figure | None:
    """Each seed's change as a tick, and the estimate over all with its interval; None without several seeds."""
    import altair as alt

    if comparison.seeds is None:
        return None
    table, measure = comparison.seeds, comparison.measure
    rows = table[(table["metric"] == measure.metric) & table["kind"].isin(("all", "training"))]
    rows = rows.assign(group=rows["group"].map(GROUPS), **{end: measure.factor * rows[end] for end in ENDS})
    drawn = rows[["arm", "group", *ENDS, "deltas"]].explode("deltas")
    drawn = drawn.assign(seed=measure.factor * drawn["deltas"].astype(float)).drop(columns="deltas")
    base = alt.Chart().encode(y=alt.Y("group:N", title=None, sort=list(GROUPS.values())))
    bars = base.mark_rule(strokeWidth=2, color=BLUE).encode(
        x=alt.X("low:Q", title=f"change{measure.unit}"), x2="high:Q"
    )
    dots = base.mark_point(filled=True, size=80, opacity=1, color=BLUE, shape="diamond").encode(x="delta:Q")
    ticks = base.mark_tick(color=ORANGE, thickness=2, size=16).encode(x="seed:Q")
    layered = alt.layer(line_at(0), bars, ticks, dots, data=drawn).properties(width=440, height=alt.Step(26))
    facet = layered.facet(facet=alt.Facet("arm:N", title=None), columns=2)
    chart = filling(facet, min(2, drawn["arm"].nunique()))
    caption = (
        f"Change in {measure.title} of each seed (ticks), and the estimate over all seeds, whose interval covers the "
        "items' error and the spread between seeds."
    )
    headings = {
        "arm": "Arm", "group": "Languages", "seeds": "Seeds", "delta": f"Change{measure.unit}", "low": "Low",
        "high": "High", "seed_deviation": "Standard deviation between seeds (share)", "verdict": "Verdict",
    }  # fmt: skip
    title = f"Each seed and their mean: {comparison.task}"
    return Figure(f"seeds-{slug(comparison.task)}", title, chart, caption, columns(rows, headings))


def transfer_figure(runs: Sequence[tuple[str, Comparison]]) -> Figure:
    """A row per run by what it was trained on, a column per language it was evaluated on: the change in the first run's
    primary measure. Grey where the test of a run's own measure finds none; framed: trained on. runs: (label,
    comparison), all of one task."""
    import altair as alt
    import pandas as pd

    task, measure = runs[0][1].task, runs[0][1].measure
    tables = [
        comparison.languages[["language", "seen", "verdict", "holm_p"]].assign(
            run=label, change=measure.factor * comparison.languages[f"{measure.metric}_delta"]
        )
        for label, comparison in runs
    ]
    rows = with_names(pd.concat(tables, ignore_index=True))
    rows = rows.assign(
        significant=rows["verdict"].isin((Outcome.IMPROVED.value, Outcome.WORSE.value)),
        text=rows["change"].map(("{:+.0f}" if measure.of_hits else "{:+.2f}").format),
    )
    y = alt.Y("run:N", title="trained on", sort=[label for label, _ in runs], axis=alt.Axis(labelLimit=220))
    x = alt.X("name:N", title="evaluated on", sort=list(dict.fromkeys(rows["name"])), axis=alt.Axis(labelAngle=-60))
    base = alt.Chart().encode(x=x, y=y)
    scale, _ = diverging(rows["change"])
    cells = base.mark_rect().encode(color=alt.Color("change:Q", title=f"change{measure.unit}", scale=scale))
    chart = alt.layer(
        base.mark_rect(color=FADED).transform_filter("!datum.significant"),
        cells.transform_filter("datum.significant"),
        base.mark_rect(fill=None, stroke=GREY, strokeWidth=2).transform_filter("datum.seen"),
        base.mark_text(fontSize=9, color="black").encode(text="text:N"),
        data=rows[["run", "name", "change", "significant", "seen", "text"]],
    ).properties(width=alt.Step(27), height=alt.Step(24))
    caption = (
        f"Transfer on {task}: change in {measure.title}{measure.unit} by what a run was trained on and where it was "
        "evaluated. Grey: the test finds no change (Holm over the run's languages). Framed: trained on."
    )
    headings = {
        "run": "Trained on", "name": "Evaluated on", "change": f"Change{measure.unit}", "holm_p": "Holm p",
        "verdict": "Verdict",
    }  # fmt: skip
    title = f"Transfer: {task}"
    return Figure(f"transfer-{slug(task)}", title, chart, caption, columns(rows, headings))
