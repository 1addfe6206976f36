"""A comparison as plain data and as a LaTeX table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from spillover.core.languages import language
from spillover.stages.compare.language_groups import group_title
from spillover.stages.compare.verdict import p_value, percent, points

if TYPE_CHECKING:
    from spillover.stages.compare.paired import Comparison

ESCAPES = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "–": "--", "→": r"$\rightarrow$", "<": "$<$",
}  # fmt: skip


def to_plain(found: Comparison) -> dict[str, Any]:
    """Everything as lists and mappings, for JSON: tables by row, sentences with their numbers. NaN stays NaN."""
    tables = {name: getattr(found, name) for name in ("languages", "groups", "contrasts", "seeds")}
    return {
        "task": found.task,
        "label_set": found.label_set,
        "seen": list(found.seen),
        "level": found.level,
        "verdict": [asdict(sentence) for sentence in found.verdict],
        "guard": asdict(found.guard) if found.guard else None,
    } | {name: None if table is None else table.to_dict("records") for name, table in tables.items()}


def to_latex(found: Comparison) -> str:
    """A table for the package booktabs: a row per language, then per group; changes with their intervals."""
    head = ["", "$n$", "Accuracy", "Change", "Calibrated", "Prior repair", "AUROC", "Holm $p$"]
    lines = [r"\begin{tabular}{lrrrrrrr}", r"\toprule", " & ".join(head) + r" \\", r"\midrule"]
    for row in found.languages.to_dict("records"):
        mark = r"$^{*}$" if row["seen"] else ""
        lines.append(_line(latex(language(row["language"]).name) + mark, row, row["holm_p"]))
    lines.append(r"\midrule")
    groups = found.groups
    for name in dict.fromkeys(groups["group"]):
        rows = groups[groups["group"] == name].set_index("metric").to_dict("index")
        flat: dict[str, Any] = {f"{metric}_{key}": value for metric, row in rows.items() for key, value in row.items()}
        title = group_title({"group": name, "kind": rows["accuracy"]["kind"]})
        label = latex(f"{title} ({rows['accuracy']['languages']})")
        lines.append(_line(label, flat | {"n": rows["accuracy"]["n"]}, rows["accuracy"]["holm_p"]))
    note = f"{found.task}, {found.label_set} labels; points with {100 * found.level:.0f} % intervals; * trained on"
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", r"% \usepackage{booktabs}", f"% {note}"]) + "\n"


def _line(name: str, row: Mapping[Any, Any], p: float) -> str:
    cells = [
        name,
        str(row["n"]),
        latex(f"{percent(row['accuracy_before'])} → {percent(row['accuracy_after'])}"),
        *(_cell(row, metric) for metric in ("accuracy", "calibrated_accuracy", "prior_repair")),
        "--" if row["auroc_delta"] != row["auroc_delta"] else f"${row['auroc_delta']:+.3f}$ "
        f"[${row['auroc_low']:+.3f}$, ${row['auroc_high']:+.3f}$]",
        "--" if p != p else latex(p_value(p)),
    ]  # fmt: skip
    return " & ".join(cells) + r" \\"


def _cell(row: Mapping[Any, Any], metric: str) -> str:
    delta, low, high = (row[f"{metric}_{key}"] for key in ("delta", "low", "high"))
    return "--" if delta != delta else f"${points(delta)}$ [${points(low)}$, ${points(high)}$]"


def latex(text: str) -> str:
    """Text with every character that LaTeX would read as a command escaped."""
    return "".join(ESCAPES.get(char, char) for char in text)
