"""What a comparison says, in plain sentences. Nothing is called a change whose interval holds zero."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from spillover.compare.paired import Comparison

FEW_ITEMS = 100
SIGNIFICANT = 0.05
# Standard errors to a difference that a two-sided 5 % test finds with 80 % power: 1.96 + 0.84.
DETECTABLE = 2.80


def verdict(comparison: Comparison) -> tuple[str, ...]:
    """Three to six sentences: the mean change, seen and unseen, single languages, discrimination, and what n allows."""
    rows, groups = comparison.languages, comparison.groups
    sentences = [_group_sentence(comparison, group) for group in dict.fromkeys(groups["group"])]
    moved = rows[rows["holm_p"] < SIGNIFICANT]
    if len(moved):
        named = ", ".join(f"{row['language']} {_points(row['accuracy_delta'])}" for row in moved.to_dict("records"))
        sentences.append(f"Single languages that changed after Holm's correction: {named}.")
    else:
        sentences.append(f"In none of the {len(rows)} languages does the change in accuracy survive Holm's correction.")
    overall = _pick(groups, "all", "auroc")
    calibrated = _pick(groups, "all", "calibrated_accuracy")
    sentences.append(
        f"With the labels' prior taken out, accuracy moved {_points(calibrated['delta'])} "
        f"({_points(calibrated['low'])} to {_points(calibrated['high'])}); AUROC went from "
        f"{overall['before']:.3f} to {overall['before'] + overall['delta']:.3f}."
    )
    if rows["n"].min() < FEW_ITEMS:
        least = detectable(comparison)
        power = (
            "no item turned either way"
            if math.isnan(least)
            else (f"one language must change by about {100 * least:.0f} points to be found with 80 % power")
        )
        sentences.append(f"{rows['n'].min()} items a language prove little: {power}.")
    return tuple(sentences)


def detectable(comparison: Comparison) -> float:
    """The accuracy change (a share) that a single language needs to be found with 80 % power at 5 %, from the share of
    items that turned either way. NaN when none turned."""
    rows = comparison.languages
    turned = ((rows["gained"] + rows["lost"]) / rows["n"]).mean()
    return DETECTABLE * math.sqrt(turned / rows["n"].min()) if turned else math.nan


def _group_sentence(comparison: Comparison, group: str) -> str:
    row = _pick(comparison.groups, group, "accuracy")
    holds = "a gain" if row["low"] > 0 else "a loss" if row["high"] < 0 else "not told from no change"
    n = int(row["languages"])
    names = {"all": f"all {n}", "seen": f"{n} trained-on", "unseen": f"{n} unseen"}
    before, after = 100 * row["before"], 100 * (row["before"] + row["delta"])
    return (
        f"{comparison.task}, {names[group]} {'language' if n == 1 else 'languages'}: "
        f"accuracy {before:.1f} → {after:.1f} %, {_points(row['delta'])} "
        f"({100 * comparison.level:.0f} % interval {_points(row['low'])} to {_points(row['high'])}): {holds}."
    )


def _pick(groups: Any, group: str, metric: str) -> Any:
    return groups[(groups["group"] == group) & (groups["metric"] == metric)].iloc[0]


def _points(share: float) -> str:
    return f"{100 * share:+.1f}"
