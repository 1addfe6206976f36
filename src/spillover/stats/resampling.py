"""The paired bootstrap, all draws at once: weights × items instead of a loop over resamples.

A draw gives each item a weight, the number of times it was drawn. The same weights serve both models, all languages and
all metrics: an item is resampled as a whole.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from spillover.core.types import Floats, Indices, LabelScores
from spillover.stats.calibration import Method, log_odds, normalised
from spillover.stats.contributions import METRICS
from spillover.stats.summary import TIE, calibrated_hits, reason_undefined


def item_weights(items: int, draws: int, rng: np.random.Generator, *, clusters: Indices | None = None) -> Floats:
    """[draws, items]: how often each item is in each bootstrap resample. Whole numbers, so that hits add up exactly.

    clusters: [items] number of each item's cluster; then clusters are drawn, each with all of its items."""
    if clusters is not None:
        return item_weights(int(clusters.max()) + 1, draws, rng)[:, clusters]
    return rng.multinomial(items, np.full(items, 1 / items), size=draws).astype(np.float64)


def resampled_means(values: Floats, weights: Floats) -> Floats:
    """[items, ...] → [draws, ...]: the mean over items in each resample. weights: as `item_weights` has them."""
    return np.asarray(np.tensordot(weights, values, axes=1) / weights.shape[1])


def resampled_medians(values: Floats, weights: Floats) -> Floats:
    """[items, columns] → [draws, columns]: the median over items in each resample; of an even number, the mean of the
    two in the middle. Each column is sorted once for all draws. weights: as `item_weights` has them."""
    items = len(values)
    medians = np.empty((len(weights), values.shape[1]))
    for i, column in enumerate(values.T):
        order = np.argsort(column, kind="stable")
        upto = np.cumsum(weights[:, order], axis=1)
        low, high = ((upto <= middle).sum(axis=1) for middle in ((items - 1) // 2, items // 2))
        medians[:, i] = (column[order[low]] + column[order[high]]) / 2
    return medians


def percentile_interval(draws: Floats, level: float) -> Floats:
    """[draws, ...] → [2, ...]: low and high of the percentile interval at this coverage; NaN where a draw is NaN."""
    return np.asarray(np.quantile(draws, [(1 - level) / 2, (1 + level) / 2], axis=0))


def bootstrap_changes(
    pairs: Mapping[str, tuple[LabelScores, LabelScores]],
    example_ids: Sequence[str],
    weights: Floats,
    calibration: Method = "batch",
) -> dict[str, Floats]:
    """[draws, languages] for each metric: the change in every resample. Batch calibration is refitted in each.

    pairs: (before, after) by language, on the same items in the same order. weights: [draws, example_ids]."""
    column = {example_id: i for i, example_id in enumerate(example_ids)}
    changes: dict[str, list[Floats]] = {metric: [] for metric in METRICS}
    for before, after in pairs.values():
        of_language = weights
        if before.example_ids != tuple(example_ids):
            of_language = weights[:, [column[example_id] for example_id in before.example_ids]]
        old, new = (weighted_measures(side, of_language, calibration) for side in (before, after))
        change = {metric: new[metric] - old[metric] for metric in old}
        change["prior_repair"] = change["accuracy"] - change["calibrated_accuracy"]
        for metric, values in change.items():
            changes[metric].append(values)
    return {metric: np.stack(columns, axis=1) for metric, columns in changes.items()}


def weighted_measures(scores: LabelScores, weights: Floats, calibration: Method) -> dict[str, Floats]:
    """[draws] for accuracy, calibrated accuracy and AUROC, as `summary.measures` has them of all items."""
    with np.errstate(divide="ignore", invalid="ignore"):
        shares = weights / weights.sum(axis=1, keepdims=True)
    accuracy = shares @ scores.hits()
    if reason_undefined(scores):
        undefined = np.full(len(weights), np.nan)
        return {"accuracy": accuracy, "calibrated_accuracy": undefined, "auroc": undefined}
    if scores.scored_by:
        return _mean_over_models(scores, weights, calibration)
    values = normalised(scores.logprobs)
    return {
        "accuracy": accuracy,
        "calibrated_accuracy": weighted_calibrated_accuracy(values, scores.gold, weights)
        if calibration == "batch"
        else shares @ calibrated_hits(scores, calibration),
        "auroc": weighted_auroc(log_odds(scores.logprobs), scores.gold, weights),
    }


def _mean_over_models(scores: LabelScores, weights: Floats, calibration: Method) -> dict[str, Floats]:
    """`weighted_measures` of each model's items, averaged by what these weigh in each draw."""
    total = weights.sum(axis=1)
    means = {metric: np.zeros(len(weights)) for metric in METRICS if metric != "prior_repair"}
    for rows in scores.rows_by_model():
        of_part = weighted_measures(replace(scores.take(rows), scored_by=()), weights[:, rows], calibration)
        share = weights[:, rows].sum(axis=1) / total
        means = {metric: means[metric] + share * of_part[metric] for metric in means}
    return means


def weighted_calibrated_accuracy(values: Floats, gold: NDArray[np.int64], weights: Floats) -> Floats:
    """[draws]: accuracy of batch calibration, each label's weighted mean subtracted from `values`, [n, labels]."""
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
    """[draws]: the mean one-vs-rest AUROC under weights; NaN in a draw that lost a label. Each label is sorted once.

    With two labels the two areas are equal: the log-odds differ in sign alone.
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
