"""The page's section on training, from train/steps.jsonl alone: loss, and what was looked at while it learned."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spillover.core.files import read_jsonl
from spillover.core.languages import language
from spillover.report.charts import BLUE, GREY, ORANGE, loss_chart, svg

if TYPE_CHECKING:
    import altair as alt
    import pandas as pd

MEASURES = {"auroc": "AUROC", "calibrated_accuracy": "calibrated accuracy", "mexa": "MEXA"}
GROUPS = {"seen": "trained on", "unseen": "unseen"}


def training_section(path: Path) -> dict[str, str | None] | None:
    """Charts as SVG, `loss` and `watch` (None when nothing was looked at), and `stop`, why the guard ended the
    training. None without a file."""
    if not path.exists():
        return None
    import pandas as pd

    steps = [row for _, row in read_jsonl(path)]
    curve = [{"step": row["step"], "loss": row["loss"], "kind": "training"} for row in steps if "loss" in row]
    curve += [
        {"step": row["step"], "loss": row["eval_loss"], "kind": "validation"} for row in steps if "eval_loss" in row
    ]
    looks = [row for row in steps if "watch" in row]
    return {
        "loss": loss_chart(pd.DataFrame(curve)) if curve else None,
        "watch": watch_chart(watched_table(looks), limit_of(looks)) if looks else None,
        "stop": next((f"Step {row['step']}: {row['stop']}" for row in looks if row["stop"]), None),
    }


def watched_table(looks: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """A row per step, measure and group: `value`, the mean over the group's languages, those without one left out."""
    import pandas as pd

    rows = [
        {"step": look["step"], "group": _group_name(row), "measure": name, "value": row[key]}
        for look in looks
        for row in look["watch"]
        for key, name in MEASURES.items()
        if row[key] is not None
    ]
    table = pd.DataFrame(rows, columns=["step", "group", "measure", "value"])
    return table.groupby(["measure", "group", "step"], sort=False)["value"].mean().reset_index()


def limit_of(looks: Sequence[dict[str, Any]]) -> float | None:
    """The AUROC of the reference language below which its loss is more than the margin; None without a guard."""
    guard = next((row["guard"] for row in looks if row["guard"]), None)
    return None if guard is None else guard["before"] - guard["margin"]


def _group_name(row: dict[str, Any]) -> str:
    return GROUPS.get(row["group"]) or language(row["language"]).name


def watch_chart(table: pd.DataFrame, limit: float | None) -> str:
    """A small chart per measure: a line per group of languages over the steps, and the guard's limit in AUROC's."""
    import altair as alt

    names = list(dict.fromkeys(table["group"]))
    reference = next((name for name in names if name not in GROUPS.values()), "")
    colours = {reference: GREY, "trained on": ORANGE, "unseen": BLUE}
    dashes = {reference: [2, 2], "trained on": [1, 0], "unseen": [6, 2]}
    domain = [name for name in colours if name in names]
    color = alt.Color("group:N", title=None, scale=alt.Scale(domain=domain, range=[colours[name] for name in domain]))
    dash = alt.StrokeDash(
        "group:N", title=None, scale=alt.Scale(domain=domain, range=[dashes[name] for name in domain])
    )
    charts: list[alt.Chart | alt.LayerChart] = []
    for name in MEASURES.values():
        rows = table[table["measure"] == name]
        if not len(rows):
            continue
        lines = alt.Chart(rows).mark_line(point=True, strokeWidth=2)
        x = alt.X("step:Q", title="step", axis=alt.Axis(tickMinStep=1))
        y = alt.Y("value:Q", title=name, scale=alt.Scale(zero=False))
        chart: alt.Chart | alt.LayerChart = lines.encode(x=x, y=y, color=color, strokeDash=dash)
        if limit is not None and name == MEASURES["auroc"]:
            once = alt.Chart(alt.Data(values=[{}]))
            rule = once.mark_rule(color=GREY, strokeWidth=1).encode(y=alt.datum(limit))
            text = once.mark_text(align="right", baseline="top", dy=3, color=GREY, text=f"{reference}'s limit")
            chart = alt.layer(chart, rule, text.encode(y=alt.datum(limit), x=alt.value(215)))
        charts.append(chart.properties(width=215, height=170))
    return svg(alt.hconcat(*charts))
