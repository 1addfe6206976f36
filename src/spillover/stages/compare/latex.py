"""A comparison as a LaTeX table."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from spillover.core.languages import language
from spillover.core.tables import records
from spillover.core.visible_text import visible
from spillover.stages.compare.format import p_value, percent
from spillover.stages.compare.language_groups import group_title
from spillover.stages.compare.measures import ACCURACY, AUROC, CALIBRATED
from spillover.stages.compare.result import Comparison

HEADER = ("Language", "$n$", "Accuracy", "Change", "Calibrated", "Label bias", "AUROC", "Holm $p$")
# By which measure each column of changes is written: the label-bias component is a part of accuracy's change.
COLUMNS = {"accuracy": ACCURACY, "calibrated_accuracy": CALIBRATED, "prior_repair": ACCURACY, "auroc": AUROC}


def to_latex(comparison: Comparison) -> str:
    """A table for the package booktabs: a row per language, then per group; changes with their intervals."""
    import pandas as pd

    rows = [
        _cells(visible(language(row["language"]).name) + "*" * row["seen"], row)
        for row in records(comparison.languages)
    ]
    for _, table in comparison.groups.groupby("group", sort=False):
        by_metric = {row["metric"]: row for row in records(table)}
        row = {f"{metric}_{key}": value for metric, values in by_metric.items() for key, value in values.items()}
        title = group_title(row["accuracy_group"], row["accuracy_kind"])
        row |= {"n": row["accuracy_n"], "holm_p": row[f"{comparison.measure.metric}_holm_p"]}
        rows.append(_cells(visible(f"{title} ({row['accuracy_languages']})"), row))
    style = (
        pd.DataFrame(rows, columns=list(HEADER)).style.hide(axis="index").format(escape="latex", subset=["Language"])
    )
    lines = style.to_latex(hrules=True, column_format="lrrrrrrr").splitlines()
    lines.insert(lines.index(r"\midrule") + 1 + len(comparison.languages), r"\midrule")
    # A line break in a name would end the comment.
    note = f"{comparison.task}, {comparison.label_set} labels; points with {100 * comparison.level:.0f} % intervals"
    note += f"; Holm's p is of the primary measure, {comparison.measure.title}, the others are secondary"
    return "\n".join([*lines, r"% \usepackage{booktabs}", f"% {visible(note)}; * trained on"]) + "\n"


def _cells(name: str, row: Mapping[str, Any]) -> tuple[str, ...]:
    def number(metric: str, key: str) -> str:
        value = row[f"{metric}_{key}"]
        return "--" if math.isnan(value) else f"${COLUMNS[metric].change(value)}$"

    def change(metric: str) -> str:
        delta, low, high = (number(metric, key) for key in ("delta", "low", "high"))
        return delta if low == "--" else f"{delta} [{low}, {high}]"

    accuracy = (percent(row[f"accuracy_{side}"]).replace("–", "--") for side in ("before", "after"))
    p = "--" if math.isnan(row["holm_p"]) else f"${p_value(row['holm_p'])}$"
    changes = [change(metric) for metric in COLUMNS]
    return name, str(row["n"]), r" $\rightarrow$ ".join(accuracy), *changes, p
