"""Summary of one table of scores: accuracy and macro-F1 raw and calibrated, AUROC, ECE, and predicted labels.

No torch here: summaries are recomputed from the tables on any machine.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from spillover.core.errors import DataError
from spillover.core.notebook import block, table
from spillover.core.types import Evaluation, LabelScores, Length, hits_of
from spillover.stats.calibration import Method, calibrated, normalised, rescaled
from spillover.stats.clusters import cluster_contributions, cluster_numbers
from spillover.stats.cross_fitting import area_and_influence
from spillover.stats.intervals import Estimate, SkewedMean, adjusted_wald, skewed_mean

CHANCE = 0.5
LEVEL = 0.95
ECE_BINS = 10
# Scores are float32: a difference below this after calibration is rounding, and the labels tie.
TIE = 1e-9


@dataclass(frozen=True)
class Summary:
    """One language. Shares and scores are in [0, 1]; AUROC is the one-vs-rest mean, 0.5 at chance.

    predicted, gold: share of items by label id; empty where each item has answers of its own. ties: items whose best
    label is not unique. calibrated: batch calibration by default.
    ece: expected calibration error of the prediction's normalised probability. auroc_low, auroc_high: 95 %.
    at_chance: that interval covers 0.5; also true when it is undefined. For items with answers of their own: accuracy's
    95 % interval covers `chance`, that of a guess.
    length: the length rule of every number but those of accuracy_by_length, which has accuracy under each rule; NaN
    where lengths are unknown. clusters: how many there are; n where items are independent.
    borrowed_wording: what of the prompts is in another language's wording, "" for nothing.
    reason: why a number is NaN, or "".
    """

    language: str
    n: int
    accuracy: float
    calibrated_accuracy: float
    macro_f1: float
    calibrated_macro_f1: float
    auroc: float
    auroc_low: float
    auroc_high: float
    at_chance: bool
    ece: float
    predicted: Mapping[str, float]
    gold: Mapping[str, float]
    ties: int
    reason: str = ""
    length: Length = "sum"
    accuracy_by_length: Mapping[str, float] = field(default_factory=dict)
    chance: float = math.nan
    clusters: int = 0
    borrowed_wording: str = ""


class Summaries(list[Summary]):
    """The summaries of an evaluation, one for each language, that show themselves as a table in a notebook."""

    def _repr_html_(self) -> str:
        headings = ("", "items", "accuracy, %", "calibrated, %", "AUROC", "95 % interval", "most frequent prediction")
        rows = [
            (
                one.language,
                one.n,
                _shown(100 * one.accuracy, 1),
                _shown(100 * one.calibrated_accuracy, 1),
                _shown(one.auroc, 3),
                f"{one.auroc_low:.3f} to {one.auroc_high:.3f}" if one.auroc_low == one.auroc_low else "–",
                max(one.predicted, key=lambda label: one.predicted[label], default="")
                + (f", {100 * max(one.predicted.values()):.0f} %" if one.predicted else ""),
            )
            for one in self
        ]
        return block("", table(headings, rows))


def _shown(value: float, digits: int) -> str:
    return "–" if math.isnan(value) else f"{value:.{digits}f}"


def summarise(evaluation: Evaluation, *, calibration: Method = "batch", length: Length | None = None) -> Summaries:
    """A summary for each language of an evaluation. calibration, length: as in `calibration.calibrated`; None: the
    length rule that the task declares."""
    return Summaries(
        summarise_language(scores, calibration=calibration, length=length) for scores in evaluation.scores.values()
    )


def summarise_language(scores: LabelScores, *, calibration: Method = "batch", length: Length | None = None) -> Summary:
    """The summary of one language's scores."""
    return replace(_measured(scores, calibration, length), borrowed_wording=scores.borrowed_wording)


def _measured(scores: LabelScores, calibration: Method, length: Length | None) -> Summary:
    n, length = len(scores.gold), length or scores.length
    if scores.outcome is not None:
        return _outcome_summary(scores)
    by_length = accuracy_by_length(scores)
    scores = rescaled(scores, length)
    if scores.kind != "labels":
        return _own_answers_summary(scores, length, by_length)
    best = scores.logprobs.max(axis=1, keepdims=True)
    area, low, high = auroc_interval(scores)
    return Summary(
        language=scores.language,
        n=n,
        accuracy=_mean(scores.hits()),
        calibrated_accuracy=_mean(calibrated_hits(scores, calibration)),
        macro_f1=macro_f1(scores, scores.logprobs),
        calibrated_macro_f1=math.nan
        if reason_undefined(scores)
        else macro_f1(scores, calibrated(scores, calibration), TIE),
        auroc=area,
        auroc_low=low,
        auroc_high=high,
        at_chance=not (low > CHANCE or high < CHANCE),
        ece=expected_calibration_error(scores),
        predicted=_shares(scores.logprobs.argmax(axis=1), scores.labels),
        gold=_shares(scores.gold, scores.labels),
        ties=int(((scores.logprobs == best).sum(axis=1) > 1).sum()),
        reason=reason_undefined(scores),
        length=length,
        accuracy_by_length=by_length,
        chance=chance(scores),
        clusters=n_clusters(scores),
    )


def _own_answers_summary(scores: LabelScores, length: Length, by_length: Mapping[str, float]) -> Summary:
    """scores: under the length rule. Only sums are log-probabilities, so only they have a calibration error."""
    nan = math.nan
    best = scores.logprobs.max(axis=1, keepdims=True)
    excess = _excess(scores)
    return Summary(
        scores.language, len(scores.gold), _mean(scores.hits()), nan, nan, nan, nan, nan, nan,
        not (excess.low > 0 or excess.high < 0), expected_calibration_error(scores) if length == "sum" else nan, {}, {},
        int(((scores.logprobs == best).sum(axis=1) > 1).sum()), reason_undefined(scores), length, by_length,
        chance(scores), n_clusters(scores),
    )  # fmt: skip


def _excess(scores: LabelScores) -> Estimate:
    """By how much accuracy exceeds that of guesses, by cluster where items have some."""
    above = per_cluster(scores.hits() - chance_of_items(scores), scores)
    return adjusted_wald(above, LEVEL, clustered=clustered(scores))


def accuracy_interval(scores: LabelScores) -> tuple[float, float]:
    """(low, high) of accuracy, 95 %, in [0, 1]: the adjusted Wald interval of its difference from chance. NaN for fewer
    than two items, and where only outcomes are known, as chance is then not."""
    if scores.outcome is not None:
        return math.nan, math.nan
    excess, guessed = _excess(scores), chance(scores)
    return max(0.0, guessed + excess.low), min(1.0, guessed + excess.high)


def accuracy_by_length(scores: LabelScores) -> dict[str, float]:
    """Accuracy under each length rule; NaN where the table does not have the lengths."""
    accuracies = {}
    for length in get_args(Length):
        try:
            accuracies[length] = _mean(rescaled(scores, length).hits())
        except DataError:
            accuracies[length] = math.nan
    return accuracies


def chance_of_items(scores: LabelScores) -> NDArray[np.float64]:
    """[n]: how probably a guess among an item's answers is right."""
    # By bytes: logs of other tools do not say how many tokens an answer has.
    lengths = scores.label_tokens if scores.answer_bytes is None else scores.answer_bytes
    n_answers = (lengths > 0).sum(axis=1) if scores.kind != "labels" else len(scores.labels)
    return np.asarray(np.ones(len(scores.gold)) / n_answers)


def chance(scores: LabelScores) -> float:
    """Accuracy of guesses; NaN without items or labels."""
    return _mean(chance_of_items(scores)) if scores.labels else math.nan


def n_clusters(scores: LabelScores) -> int:
    """How many clusters there are: how many items where these are independent."""
    return len(set(scores.clusters)) if scores.clusters else len(scores.gold)


def clustered(scores: LabelScores) -> bool:
    """Whether some items have a cluster in common."""
    return n_clusters(scores) < len(scores.gold)


def per_cluster(values: NDArray[np.float64], scores: LabelScores) -> NDArray[np.float64]:
    """Values of items as values of their clusters, see `clusters.cluster_contributions`; as they are without any."""
    return cluster_contributions(values, cluster_numbers(scores.clusters)) if scores.clusters else values


def _outcome_summary(scores: LabelScores) -> Summary:
    nan = math.nan
    return Summary(
        scores.language, len(scores.gold), _mean(scores.hits()), nan, nan, nan, nan, nan, nan, True, nan, {}, {}, 0,
        reason_undefined(scores), clusters=len(scores.gold),
    )  # fmt: skip


def reason_undefined(scores: LabelScores) -> str:
    """Why AUROC and calibrated accuracy do not exist for these scores; "" when they do."""
    if scores.outcome is not None:
        return "no label log-probabilities"
    if scores.kind != "labels":
        return f"not defined for {scores.kind}: which place the right answer has among an item's own means nothing"
    if not len(scores.gold):
        return "no items"
    for rows in scores.rows_by_model():
        counts = np.bincount(scores.gold[rows], minlength=len(scores.labels))
        if absent := [label for label, count in zip(scores.labels, counts, strict=True) if not count]:
            where = " in one of the parts" if scores.scored_by else ""
            return f"no item has the label {' or '.join(absent)}{where}"
    return ""


def constant_prediction(scores: LabelScores) -> str:
    """The label predicted for all of several items, or "a tie" of all labels; "" when predictions differ."""
    if scores.outcome is not None or scores.kind != "labels" or len(scores.gold) < 2:
        return ""
    best = scores.logprobs == scores.logprobs.max(axis=1, keepdims=True)
    if best.all():
        return "a tie"
    given = scores.logprobs.argmax(axis=1)
    return scores.labels[given[0]] if (given == given[0]).all() else ""


def calibrated_hits(scores: LabelScores, method: Method = "batch") -> NDArray[np.float64]:
    """[n]: `LabelScores.hits` after calibration. NaN when a label has no item: its prior cannot be estimated."""
    if reason_undefined(scores):
        return np.full(len(scores.gold), np.nan)
    return hits_of(calibrated(scores, method), scores.gold, tie=TIE)


def macro_f1(scores: LabelScores, values: NDArray[np.floating], tie: float = 0.0) -> float:
    """Mean F1 over the task's labels; a label that is never predicted and never gold counts as 0. Of labels within
    `tie` of the best, the first is the prediction."""
    from sklearn.metrics import f1_score

    if not len(scores.gold):
        return math.nan
    labels = list(range(len(scores.labels)))
    answers = (values >= values.max(axis=1, keepdims=True) - tie).argmax(axis=1)
    return float(f1_score(scores.gold, answers, labels=labels, average="macro", zero_division=0.0))


def auroc(scores: LabelScores) -> float:
    """Mean over the labels of the one-vs-rest area under the ROC curve of the normalised log-probability.

    In [0, 1], 0.5 at chance, unchanged by any prior on two labels. NaN when a label has no item, or all of them.
    """
    return math.nan if reason_undefined(scores) else area_and_influence(scores)[0]


def auroc_interval(scores: LabelScores, level: float = LEVEL) -> tuple[float, float, float]:
    """(area, low, high) by DeLong's variance and Hall's interval. NaN where a label has fewer than two items.

    Where few items decide, Hall's interval has no bound towards chance: one item ranked last of 24 took that of an area
    of .87 down to .21. Its ends are therefore moved away from chance to those of the logit interval, where these are
    further (experiments/2026-11-26-auroc-called-chance.md).

    Where all pairs are ordered correctly (or all wrongly) nothing varies. As many pairs are independent as the rarest
    label has items, and the bound is the area at which so many in a row have probability (1 - level) / 2.
    """
    if reason_undefined(scores):
        return math.nan, math.nan, math.nan
    area, influence = area_and_influence(scores)
    counts = np.bincount(scores.gold)
    if (counts < 2).any():
        return area, math.nan, math.nan
    mean = skewed_mean(per_cluster(area + influence, scores), clustered=clustered(scores))
    if mean is None:
        bound = ((1 - level) / 2) ** (1 / float(counts.min()))
        return area, bound if area >= 1 else area, 1 - bound if area <= 0 else area
    further = max if area >= CHANCE else min
    ends = zip(mean.interval(level), _logit_interval(area, mean, level), strict=True)
    low, high = (further(hall, logit) for hall, logit in ends)
    return area, max(low, 0.0), min(high, 1.0)


def _logit_interval(area: float, mean: SkewedMean, level: float) -> tuple[float, float]:
    """The normal interval of the area's logit, as an area; (area, area) at 0 and at 1, where it is undefined."""
    if not 0 < area < 1:
        return area, area
    bound = mean.standard.ppf((1 + level) / 2)
    centre, half = math.log(area / (1 - area)), bound * mean.error / (area * (1 - area))
    return 1 / (1 + math.exp(half - centre)), 1 / (1 + math.exp(-half - centre))


def expected_calibration_error(scores: LabelScores) -> float:
    """Mean absolute difference between confidence (the prediction's probability over the labels) and accuracy, in ten
    bins of equal width (Guo et al. 2017). In [0, 1], 0 is perfect. NaN without items."""
    if not len(scores.gold):
        return math.nan
    confidence = np.exp(normalised(scores.logprobs)).max(axis=1)
    right = scores.hits()
    bins = np.minimum((confidence * ECE_BINS).astype(int), ECE_BINS - 1)
    gaps = np.bincount(bins, weights=right - confidence, minlength=ECE_BINS)
    return float(np.abs(gaps).sum() / len(confidence))


def measures(scores: LabelScores, method: Method = "batch") -> dict[str, float]:
    """The three numbers whose changes `compare` tests."""
    return {
        "accuracy": _mean(scores.hits()),
        "calibrated_accuracy": _mean(calibrated_hits(scores, method)),
        "auroc": auroc(scores),
    }


def _mean(values: NDArray[np.float64]) -> float:
    return float(values.mean()) if len(values) else math.nan


def _shares(indices: NDArray[np.int64], labels: tuple[str, ...]) -> dict[str, float]:
    counts = np.bincount(indices, minlength=len(labels))
    return {label: float(count / max(len(indices), 1)) for label, count in zip(labels, counts, strict=True)}
