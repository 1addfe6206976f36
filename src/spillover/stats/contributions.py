"""Each item's contribution to the change of a metric, so that a metric's change is the mean of its contributions.

Means over languages, over seeds and differences between runs are then means and differences of contributions, paired
by item.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from spillover.core.types import Floats, LabelScores
from spillover.stats.calibration import Method
from spillover.stats.cross_fitting import area_and_influence
from spillover.stats.intervals import Estimate, adjusted_wald, clustered_mean, skewed_mean, skewness_adjusted, within
from spillover.stats.summary import calibrated_hits, measures, n_clusters, reason_undefined

# The label-bias component (prior_repair) and the calibrated component add up to accuracy, see `contributions_of`.
METRICS = ("accuracy", "calibrated_accuracy", "prior_repair", "auroc")
# A share and an area lie in [0, 1]; the cost of label bias is a difference of two shares.
LARGEST_CHANGE = {"accuracy": 1.0, "calibrated_accuracy": 1.0, "prior_repair": 2.0, "auroc": 1.0}


def contributions_of(
    before: LabelScores, after: LabelScores, calibration: Method = "batch", *, calibrated_before: bool = False
) -> dict[str, Floats]:
    """[n] for each of `METRICS`: each item's contribution to the change; their mean is the change.

    Accuracy is calibrated accuracy minus the cost of label bias. So a change in accuracy is, exactly, the change in
    calibrated accuracy (the calibrated component) plus the reduction of that cost (the label-bias component, named
    prior_repair): with unchanged discrimination, calibration alone would have given the second. A decomposition in the
    manner of Kitagawa (1955), on batch calibration (Zhou et al. 2023) by default.

    calibrated_before: the change starts from the calibrated model, whose accuracy is its calibrated accuracy; what is
    left of the label-bias component is then minus the cost of label bias after.
    """
    accuracy = after.hits() - (calibrated_hits(before, calibration) if calibrated_before else before.hits())
    calibrated = calibrated_hits(after, calibration) - calibrated_hits(before, calibration)
    area = np.full(len(accuracy), np.nan)
    if not reason_undefined(before):
        old, new = area_and_influence(before), area_and_influence(after)
        area = new[0] - old[0] + new[1] - old[1]
    return {
        "accuracy": accuracy,
        "calibrated_accuracy": calibrated,
        "prior_repair": accuracy - calibrated,
        "auroc": area,
    }


def before_after_values(
    before: LabelScores, after: LabelScores, calibration: Method = "batch"
) -> dict[str, tuple[float, float]]:
    """(before, after) of each metric but the label-bias component, which is defined for a change alone."""
    old, new = measures(before, calibration), measures(after, calibration)
    return {metric: (old[metric], new[metric]) for metric in old}


def undefined_reason(before: LabelScores, after: LabelScores, contributions: Mapping[str, Floats]) -> str:
    """Why some numbers of a language are NaN; "" when all are defined."""
    if len(before.gold) < 2:
        return "one item has no spread"
    if n_clusters(before) < 2:
        return "one cluster has no spread"
    if reason := reason_undefined(before) or reason_undefined(after):
        return reason
    if reason := undefined_area(before):
        return reason
    if skewed_mean(contributions["auroc"]) is None:
        return "both sides rank the items alike, so AUROC's change has no interval"
    return ""


def undefined_area(scores: LabelScores) -> str:
    """Why AUROC has no standard error though every label has an item; "" when it has one."""
    parts = [scores.gold[rows] for rows in scores.rows_by_model()]
    rare = [label for i, label in enumerate(scores.labels) if min((gold == i).sum() for gold in parts) < 2]
    return f"one item alone has the label {rare[0]}" if rare else ""


def estimate(
    contributions: Floats, metric: str, level: float, *, changes: int = 1, clustered: bool = False
) -> Estimate:
    """The reported interval and p of a metric's mean change, or of the difference of two `changes`. clustered: whether
    the contributions are those of clusters."""
    if metric == "auroc":
        change = skewness_adjusted(contributions, level, clustered=clustered)
    else:
        change = clustered_mean(contributions, level) if clustered else adjusted_wald(contributions, level)
    return within(change, changes * LARGEST_CHANGE[metric])
