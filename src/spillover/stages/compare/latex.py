"""A comparison as a LaTeX table."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from spillover.core.languages import language
from spillover.stages.compare.format import p_value, percent, points, records
from spillover.stages.compare.language_groups import group_title
from spillover.stages.compare.result import Comparison

ESCAPES = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "–": "--", "→": r"$\rightarrow$", "<": "$<$",
}  # fmt: skip


def to_latex(comparison: Comparison) -> str:
    """A table for the package booktabs: a row per language, then per group; changes with their intervals."""
    head = ["", "$n$", "Accuracy", "Change", "Calibrated", "Label bias", "AUROC", "Holm $p$"]
    lines = [r"\begin{tabular}{lrrrrrrr}", r"\toprule", " & ".join(head) + r" \\", r"\midrule"]
    for row in records(comparison.languages):
        mark = r"$^{*}$" if row["seen"] else ""
        lines.append(_line(latex(language(row["language"]).name) + mark, row, row["holm_p"]))
    lines.append(r"\midrule")
    groups = comparison.groups
    for name in dict.fromkeys(groups["group"]):
        rows = groups[groups["group"] == name].set_index("metric").to_dict("index")
        flat: dict[str, Any] = {f"{metric}_{key}": value for metric, row in rows.items() for key, value in row.items()}
        title = group_title({"group": name, "kind": rows["accuracy"]["kind"]})
        label = latex(f"{title} ({rows['accuracy']['languages']})")
        lines.append(_line(label, flat | {"n": rows["accuracy"]["n"]}, rows["accuracy"]["holm_p"]))
    intervals = f"{100 * comparison.level:.0f} % intervals"
    note = f"{comparison.task}, {comparison.label_set} labels; points with {intervals}; * trained on"
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", r"% \usepackage{booktabs}", f"% {note}"]) + "\n"


def _line(name: str, row: Mapping[str, Any], p: float) -> str:
    cells = [
        name,
        str(row["n"]),
        latex(f"{percent(row['accuracy_before'])} → {percent(row['accuracy_after'])}"),
        *(_cell(row, metric) for metric in ("accuracy", "calibrated_accuracy", "prior_repair")),
        "--" if math.isnan(row["auroc_delta"]) else f"${row['auroc_delta']:+.3f}$ "
        f"[${row['auroc_low']:+.3f}$, ${row['auroc_high']:+.3f}$]",
        "--" if math.isnan(p) else latex(p_value(p)),
    ]  # fmt: skip
    return " & ".join(cells) + r" \\"


def _cell(row: Mapping[str, Any], metric: str) -> str:
    delta, low, high = (row[f"{metric}_{key}"] for key in ("delta", "low", "high"))
    return "--" if math.isnan(delta) else f"${points(delta)}$ [${points(low)}$, ${points(high)}$]"


def latex(text: str) -> str:
    """Text with every character that LaTeX would read as a command escaped."""
    return "".join(ESCAPES.get(char, char) for char in text)
