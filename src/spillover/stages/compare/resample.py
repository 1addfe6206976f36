"""The paired bootstrap, all draws at once: weights × items instead of a loop over resamples.

A draw gives each item a weight, the number of times it was drawn. The same weights serve both models, all languages and
all metrics: an item moves as a whole.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from spillover.core.types import LabelScores
from spillover.stages.compare.pairing import CHANGES, Pairs
from spillover.stats.calibration import Method, log_odds, normalised
from spillover.stats.resampling import item_weights
from spillover.stats.summary import TIE, calibrated_hits, hits, reason_undefined

Floats = NDArray[np.float64]


def bootstrap_changes(
    pairs: Pairs,
    example_ids: Sequence[str],
    *,
    draws: int,
    rng: np.random.Generator,
    calibration: Method = "batch",
) -> dict[str, Floats]:
    """[draws, languages] for each metric: the change in every resample. Batch calibration is made anew in each."""
    weights = item_weights(len(example_ids), draws, rng)
    place = {example_id: i for i, example_id in enumerate(example_ids)}
    found: dict[str, list[Floats]] = {metric: [] for metric in CHANGES}
    for left, right in pairs.values():
        own = weights
        if left.example_ids != tuple(example_ids):
            own = weights[:, [place[example_id] for example_id in left.example_ids]]
        old, new = _measures(left, own, calibration), _measures(right, own, calibration)
        change = {metric: new[metric] - old[metric] for metric in old}
        change["prior_repair"] = change["accuracy"] - change["calibrated_accuracy"]
        for metric, values in change.items():
            found[metric].append(values)
    return {metric: np.stack(columns, axis=1) for metric, columns in found.items()}


def _measures(scores: LabelScores, weights: Floats, calibration: Method) -> dict[str, Floats]:
    with np.errstate(divide="ignore", invalid="ignore"):
        shares = weights / weights.sum(axis=1, keepdims=True)
    accuracy = shares @ hits(scores)
    if reason_undefined(scores):
        nothing = np.full(len(weights), np.nan)
        return {"accuracy": accuracy, "calibrated_accuracy": nothing, "auroc": nothing}
    values = normalised(scores.logprobs)
    return {
        "accuracy": accuracy,
        "calibrated_accuracy": weighted_calibrated_accuracy(values, scores.gold, weights)
        if calibration == "batch"
        else shares @ calibrated_hits(scores, calibration),
        "auroc": weighted_auroc(log_odds(scores.logprobs), scores.gold, weights),
    }


def weighted_calibrated_accuracy(values: Floats, gold: NDArray[np.int64], weights: Floats) -> Floats:
    """[draws]: accuracy after each label's weighted mean was taken from `values`, [n, labels]."""
    total = weights.sum(axis=1)
    means = weights @ values / total[:, None]
    best = np.ones(weights.shape)
    ties = np.ones(weights.shape)
    for step in range(1, values.shape[1]):
        other = (gold + step) % values.shape[1]
        n = np.arange(len(gold))
        lead = (values[n, gold] - values[n, other])[None, :] - (means[:, gold] - means[:, other])
        best *= lead > -TIE
        ties += np.abs(lead) <= TIE
    return np.asarray((weights * best / ties).sum(axis=1) / total)


def weighted_auroc(values: Floats, gold: NDArray[np.int64], weights: Floats) -> Floats:
    """[draws]: the mean one-vs-rest area under weights; NaN in a draw that lost a label. Each label is sorted once.

    With two labels the one area is the other's: their log-odds differ in sign alone.
    """
    labels = 1 if values.shape[1] == 2 else values.shape[1]
    areas = [_weighted_area(values[:, i], gold == i, weights) for i in range(labels)]
    return np.asarray(np.mean(areas, axis=0))


def _weighted_area(column: Floats, of_label: NDArray[np.bool_], weights: Floats) -> Floats:
    order = np.argsort(column, kind="stable")
    ordered = column[order]
    negatives = np.zeros((len(weights), len(column) + 1))
    np.cumsum(weights[:, order] * ~of_label[order], axis=1, out=negatives[:, 1:])
    positives = order[of_label[order]]
    values = column[positives]
    below = np.searchsorted(ordered, values, side="left")
    upto = np.searchsorted(ordered, values, side="right")
    wins = (weights[:, positives] * (negatives[:, below] + negatives[:, upto])).sum(axis=1) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(wins / (weights[:, positives].sum(axis=1) * negatives[:, -1]))
