"""The training, from train/steps.jsonl alone: its loss and its in-training evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spillover.core.files import as_data_error, read_jsonl
from spillover.core.languages import language
from spillover.stages.report.charts import BLUE, GREY, ORANGE, SOLID, Figure, by_category, columns, filling

if TYPE_CHECKING:
    import altair as alt
    import pandas as pd

MEASURES = {"auroc": "AUROC", "calibrated_accuracy": "calibrated accuracy", "mexa": "MEXA"}
GROUPS = {"seen": "trained on", "unseen": "unseen"}
EVALUATION = (
    "In-training evaluation on a few items of the task; step 0 is the base. MEXA is the share of items whose nearest "
    "neighbour is their own translation. Below the limit the loss is more than the guard allows; training stops only "
    "when that is significant."
)
LOSS = (
    "Loss on question translation, by training step. A falling loss says that the model learns to translate, not that "
    "it answers better."
)


def training_figures(path: Path) -> list[Figure]:
    """The loss and the in-training evaluation; none without a file. DataError names a damaged one."""
    import pandas as pd

    steps = read_steps(path)
    with as_data_error(path):
        losses = [
            {"step": row["step"], "loss": row[key], "kind": kind}
            for key, kind in (("loss", "training"), ("eval_loss", "validation"))
            for row in steps
            if key in row
        ]
        figures = []
        if losses:
            rows = pd.DataFrame(losses)
            headings = {"step": "Step", "kind": "Loss of", "loss": "Loss (nats a token)"}
            figures.append(Figure("training-loss", "Loss by step", loss_chart(rows), LOSS, columns(rows, headings)))
        if snapshots := [row for row in steps if "watch" in row]:
            rows = evaluation_table(snapshots)
            headings = {"step": "Step", "measure": "Measure", "group": "Languages", "value": "Value"}
            chart = evaluation_chart(rows, limit_of(snapshots))
            title = "What a few items say during training"
            figures.append(Figure("training-evaluation", title, chart, EVALUATION, columns(rows, headings)))
        return figures


def read_steps(path: Path) -> list[dict[str, Any]]:
    """The rows of steps.jsonl; none without it."""
    return [row for _, row in read_jsonl(path)] if path.exists() else []


def stop_reason(steps: Sequence[dict[str, Any]]) -> str | None:
    """Why the guard ended the training; None when it did not."""
    return next((f"Step {row['step']}: {row['stop']}" for row in steps if row.get("stop")), None)


def loss_chart(table: pd.DataFrame) -> alt.LayerChart:
    """Training and validation loss by step."""
    import altair as alt

    present = [kind for kind in ("training", "validation") if (table["kind"] == kind).any()]
    # Points of a line share its colour alone, so that the two kinds of losses differ in dash as well.
    color = by_category(alt.Color, "kind", dict(zip(present, (BLUE, ORANGE), strict=False)))
    shape = by_category(alt.Shape, "kind", dict(zip(present, ("circle", "square"), strict=False)))
    dash = by_category(alt.StrokeDash, "kind", dict(zip(present, (SOLID, [5, 2]), strict=False)), legend=None)
    y = alt.Y("loss:Q", title="loss per completion token (nats)", scale=alt.Scale(zero=False))
    base = alt.Chart().encode(x=alt.X("step:Q", title="step", axis=alt.Axis(tickMinStep=1)), y=y, color=color)
    line = base.mark_line(strokeWidth=1.5).encode(strokeDash=dash)
    dots = base.mark_point(filled=True, size=40, opacity=1).encode(shape=shape)
    return filling(alt.layer(line, dots, data=table).properties(width=1080, height=200))


def evaluation_table(snapshots: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """A row per step, measure and group: `value`, the mean over the group's languages, those without one left out."""
    import pandas as pd

    rows = [
        {"step": snapshot["step"], "group": _group_name(row), "measure": name, "value": row[key]}
        for snapshot in snapshots
        for row in snapshot["watch"]
        for key, name in MEASURES.items()
        if row[key] is not None
    ]
    table = pd.DataFrame(rows, columns=["step", "group", "measure", "value"])
    return table.groupby(["measure", "group", "step"], sort=False)["value"].mean().reset_index()


def limit_of(snapshots: Sequence[dict[str, Any]]) -> float | None:
    """The AUROC of the reference language below which its loss is more than the margin; None without a guard."""
    guard = next((row["guard"] for row in snapshots if row["guard"]), None)
    return None if guard is None else guard["before"] - guard["margin"]


def _group_name(row: dict[str, Any]) -> str:
    return GROUPS.get(row["group"]) or language(row["language"]).name


def evaluation_chart(table: pd.DataFrame, limit: float | None) -> alt.HConcatChart:
    """A small chart per measure: a line per group of languages over the steps, and the guard's limit in AUROC's."""
    import altair as alt

    groups = list(dict.fromkeys(table["group"]))
    reference = next((name for name in groups if name not in GROUPS.values()), "")
    colors = {reference: GREY, "trained on": ORANGE, "unseen": BLUE}
    dashes = {reference: [2, 2], "trained on": SOLID, "unseen": [6, 2]}
    present = [name for name in colors if name in groups]
    color = by_category(alt.Color, "group", {name: colors[name] for name in present})
    dash = by_category(alt.StrokeDash, "group", {name: dashes[name] for name in present})
    charts: list[alt.Chart | alt.LayerChart] = []
    for name in MEASURES.values():
        rows = table[table["measure"] == name]
        if not len(rows):
            continue
        x = alt.X("step:Q", title="step", axis=alt.Axis(tickMinStep=1))
        y = alt.Y("value:Q", title=name, scale=alt.Scale(zero=False))
        lines = alt.Chart(rows).mark_line(point=True, strokeWidth=2)
        chart: alt.Chart | alt.LayerChart = lines.encode(x=x, y=y, color=color, strokeDash=dash)
        if limit is not None and name == MEASURES["auroc"]:
            once = alt.Chart(alt.Data(values=[{}]))
            rule = once.mark_rule(color=GREY, strokeWidth=1).encode(y=alt.datum(limit))
            text = once.mark_text(align="right", baseline="top", dy=3, color=GREY, text=f"{reference}'s limit")
            chart = alt.layer(chart, rule, text.encode(y=alt.datum(limit), x=alt.value("width")))
        charts.append(chart.properties(width=330, height=170))
    return alt.hconcat(*charts)
