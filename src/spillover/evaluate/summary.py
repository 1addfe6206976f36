"""What one table of scores says: accuracy raw and calibrated, macro-F1, AUROC, and which labels the model gives.

No torch here: summaries are recomputed from the tables on any machine.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spillover.core.types import Evaluation, LabelScores
from spillover.evaluate.calibrate import batch_calibrated, normalised


@dataclass(frozen=True)
class Summary:
    """One language. Shares and scores are in [0, 1]; AUROC is the one-vs-rest mean, 0.5 at chance, NaN with one class.

    predicted, gold: share of items by label id. ties: items whose best label is not unique.
    """

    language: str
    n: int
    accuracy: float
    calibrated_accuracy: float
    macro_f1: float
    auroc: float
    predicted: Mapping[str, float]
    gold: Mapping[str, float]
    ties: int


def summarise(evaluation: Evaluation) -> list[Summary]:
    """A summary for each language of an evaluation."""
    return [summarise_language(scores) for scores in evaluation.scores.values()]


def summarise_language(scores: LabelScores) -> Summary:
    """The summary of one language's scores."""
    predicted = scores.logprobs.argmax(axis=1)
    best = scores.logprobs.max(axis=1, keepdims=True)
    return Summary(
        language=scores.language,
        n=len(scores.gold),
        accuracy=float(hits(scores).mean()) if len(scores.gold) else math.nan,
        calibrated_accuracy=float(calibrated_hits(scores).mean()) if len(scores.gold) else math.nan,
        macro_f1=macro_f1(scores),
        auroc=auroc(scores),
        predicted=_shares(predicted, scores.labels),
        gold=_shares(scores.gold, scores.labels),
        ties=int(((scores.logprobs == best).sum(axis=1) > 1).sum()),
    )


def hits(scores: LabelScores) -> NDArray[np.float64]:
    """[n]: 1 where the gold label alone is most probable, 1/k where it ties with k - 1 others, else 0."""
    return _hits(scores.logprobs, scores.gold)


def calibrated_hits(scores: LabelScores) -> NDArray[np.float64]:
    """[n]: the same after batch calibration."""
    return _hits(batch_calibrated(scores.logprobs), scores.gold)


def _hits(values: NDArray[np.floating], gold: NDArray[np.int64]) -> NDArray[np.float64]:
    best = values == values.max(axis=1, keepdims=True)
    return np.asarray(best[np.arange(len(gold)), gold] / best.sum(axis=1), dtype=np.float64)


def macro_f1(scores: LabelScores) -> float:
    """Mean F1 over the labels that the task has; a label that is never given and never gold counts as 0."""
    from sklearn.metrics import f1_score

    if not len(scores.gold):
        return math.nan
    labels = list(range(len(scores.labels)))
    predicted = scores.logprobs.argmax(axis=1)
    return float(f1_score(scores.gold, predicted, labels=labels, average="macro", zero_division=0.0))


def auroc(scores: LabelScores) -> float:
    """Mean over the labels of the one-vs-rest area under the ROC curve of the normalised log-probability.

    In [0, 1], 0.5 at chance, unchanged by any prior on two labels. NaN when a label has no item, or all of them.
    """
    from sklearn.metrics import roc_auc_score

    values = normalised(scores.logprobs)
    areas = []
    for i in range(len(scores.labels)):
        is_label = scores.gold == i
        if is_label.all() or not is_label.any():
            return math.nan
        areas.append(roc_auc_score(is_label, values[:, i]))
    return float(np.mean(areas))


METRICS: Mapping[str, Callable[[LabelScores], float]] = {
    "accuracy": lambda scores: float(hits(scores).mean()),
    "calibrated_accuracy": lambda scores: float(calibrated_hits(scores).mean()),
    "auroc": auroc,
}


def _shares(indices: NDArray[np.int64], labels: tuple[str, ...]) -> dict[str, float]:
    counts = np.bincount(indices, minlength=len(labels))
    return {label: float(count / max(len(indices), 1)) for label, count in zip(labels, counts, strict=True)}
