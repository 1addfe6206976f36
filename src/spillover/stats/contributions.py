"""Each item's contribution to the change of a metric, so that a metric's change is the mean of its contributions.

Means over languages, over seeds and differences between runs are then means and differences of contributions, paired
by item.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from spillover.core.types import Floats, LabelScores
from spillover.stats.auroc import auroc_influence, skewed_mean
from spillover.stats.calibration import Method, log_odds
from spillover.stats.summary import calibrated_hits, hits, measures, reason_undefined


def contributions_of(left: LabelScores, right: LabelScores, calibration: Method = "batch") -> dict[str, Floats]:
    """[n] for each metric: the item's part in the change; the mean is the change.

    An accuracy is the calibrated accuracy less what the label prior costs. So a change in accuracy is, exactly, the
    change in calibrated accuracy (better discrimination) and the change in that cost (prior repair): with the prior as
    it was, calibration alone would have given the second. A split by components in the manner of Kitagawa (1955), on
    batch calibration (Zhou et al. 2023) unless another is asked for.
    """
    accuracy = hits(right) - hits(left)
    calibrated = calibrated_hits(right, calibration) - calibrated_hits(left, calibration)
    area = np.full(len(accuracy), np.nan)
    if not reason_undefined(left):
        old, new = (auroc_influence(log_odds(side.logprobs), side.gold) for side in (left, right))
        area = new[0] - old[0] + new[1] - old[1]
    return {
        "accuracy": accuracy,
        "calibrated_accuracy": calibrated,
        "prior_repair": accuracy - calibrated,
        "auroc": area,
    }


def before_after_values(
    left: LabelScores, right: LabelScores, calibration: Method = "batch"
) -> dict[str, tuple[float, float]]:
    """(before, after) for each metric that has a level: all but prior repair, which is a change alone."""
    old, new = measures(left, calibration), measures(right, calibration)
    return {metric: (old[metric], new[metric]) for metric in old}


def undefined_reason(left: LabelScores, right: LabelScores, parts: Mapping[str, Floats]) -> str:
    """Why some numbers of a language are NaN; "" when all are defined."""
    if len(left.gold) < 2:
        return "one item has no spread"
    if reason_undefined(left) or reason_undefined(right):
        return reason_undefined(left) or reason_undefined(right)
    rare = [label for i, label in enumerate(left.labels) if (left.gold == i).sum() < 2]
    if rare:
        return f"one item alone has the label {rare[0]}"
    if skewed_mean(parts["auroc"]) is None:
        return "both sides rank the items alike, so AUROC's change has no interval"
    return ""
