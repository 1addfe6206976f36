"""Calibration from stored log-probabilities, without the model: what part of a prediction is label bias?

length rule  sum, mean per token or per byte of the label word, or of an item's own answer
none         the log-probabilities as they are
batch        minus each label's mean over the items (Zhou et al. 2023)
contextual   minus the label's log-probability for content-free inputs such as "N/A" (Zhao et al. 2021)
pmi          minus the label's log-probability after the answer prompt alone (Holtzman et al. 2021)
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from spillover.core.errors import ConfigError, DataError
from spillover.core.types import CalibrationScores, Floats, LabelScores, Length

Method = Literal["none", "batch", "contextual", "pmi"]


def calibrated(scores: LabelScores, method: Method = "none", length: Length = "sum") -> Floats:
    """[n, labels] values whose largest is the prediction. Comparable within an item, not between methods.

    ConfigError for an unknown method or length rule; DataError when the table lacks what the method needs.
    """
    check_rules(method, length)
    scores = rescaled(scores, length)
    values = scores.logprobs.astype(np.float64)
    if method == "none":
        return values
    if method == "batch":
        for rows in scores.rows_by_model():
            values[rows] = batch_calibrated(values[rows])
        return values
    if scores.calibration is None:
        raise DataError(
            f"{scores.language}: the table has no scores for {method} calibration", hint="evaluate into a new folder"
        )
    if method == "contextual":
        if not len(scores.calibration.content_free):
            raise DataError(
                f"{scores.language}: no content-free input was scored",
                hint="evaluate into a new folder with evaluate.content_free, or choose another calibration",
            )
        prior = np.exp(normalised(scores.calibration.content_free)).mean(axis=0)
        return np.asarray(normalised(values) - np.log(prior))
    return np.asarray(values - scores.calibration.answer_prompt)


def check_rules(method: str, length: str) -> None:
    """ConfigError for an unknown method or length rule."""
    choices = (("calibration", method, get_args(Method)), ("length rule", length, get_args(Length)))
    for kind, name, known in choices:
        if name not in known:
            raise ConfigError(f"{kind} {name!r} is not known", hint=f"choose from {', '.join(known)}")


def rescaled(scores: LabelScores, length: Length = "sum") -> LabelScores:
    """The scores under a length rule, with those that calibration needs. Unchanged where only outcomes are known."""
    if length == "sum" or scores.outcome is not None:
        return scores
    lengths = _lengths(scores, length)
    calibration = scores.calibration and CalibrationScores(
        scores.calibration.content_free / lengths[0],
        scores.calibration.answer_prompt / lengths[0],
        scores.calibration.label_bytes,
    )
    return replace(scores, logprobs=(scores.logprobs / lengths).astype(np.float32), calibration=calibration)


def _lengths(scores: LabelScores, length: Length) -> Floats:
    """[n or 1, labels]: the divisor of the sum over a label's tokens."""
    if length == "sum":
        return np.ones((1, len(scores.labels)))
    if scores.answer_bytes is not None:
        lengths = scores.label_tokens if length == "token" else scores.answer_bytes
        if ((lengths == 0) & (scores.answer_bytes > 0)).any():
            raise DataError(
                f"{scores.language}: the log does not say how many tokens its answers have",
                hint="--length sum, or byte",
            )
        return np.maximum(lengths, 1).astype(np.float64)  # -inf over 1 where an item has no such answer
    if length == "token":
        if not scores.label_tokens.all():
            raise DataError(
                f"{scores.language}: the log does not say how many tokens its labels have",
                hint="compare.length: sum",
            )
        return np.asarray(scores.label_tokens, dtype=np.float64)
    if scores.calibration is None:
        raise DataError(
            f"{scores.language}: the table has no byte lengths of its labels", hint="evaluate into a new folder"
        )
    return np.asarray(scores.calibration.label_bytes, dtype=np.float64)[None, :]


def normalised(logprobs: NDArray[np.floating]) -> Floats:
    """[n, labels] → [n, labels]: natural log-probabilities that sum to one over the labels."""
    from scipy.special import log_softmax

    return np.asarray(log_softmax(logprobs.astype(np.float64), axis=1))


def log_odds(logprobs: NDArray[np.floating]) -> Floats:
    """[n, labels] → [n, labels]: the natural logarithm of each label's odds against the others together.

    It orders items as their normalised probabilities do, without the ties that double precision makes of these near 0
    and 1. Independent of the order of the other labels. With one label, infinite."""
    from scipy.special import logsumexp

    values = logprobs.astype(np.float64)
    if values.shape[1] == 2:
        return np.asarray(values - values[:, ::-1])
    others = [np.sort(np.delete(values, label, axis=1), axis=1) for label in range(values.shape[1])]
    return np.stack([values[:, label] - logsumexp(rest, axis=1) for label, rest in enumerate(others)], axis=1)


def batch_calibrated(logprobs: NDArray[np.floating]) -> Floats:
    """[n, labels] → [n, labels]: normalised log-probabilities minus each label's mean over items (Zhou et al. 2023).

    It removes the prior that the prompt gives to a label for every item. The result is not normalised. It assumes about
    equally frequent labels: a real majority among the items is removed too.
    """
    values = normalised(logprobs)
    return np.asarray(values - values.mean(axis=0, keepdims=True))
