"""Calibration from stored log-probabilities, without the model."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def normalised(logprobs: NDArray[np.float32]) -> NDArray[np.float64]:
    """[n, labels] → [n, labels]: natural log-probabilities that sum to one over the labels."""
    values = logprobs.astype(np.float64)
    peak = values.max(axis=1, keepdims=True)
    return np.asarray(values - peak - np.log(np.exp(values - peak).sum(axis=1, keepdims=True)))


def batch_calibrated(logprobs: NDArray[np.float32]) -> NDArray[np.float64]:
    """[n, labels] → [n, labels]: normalised log-probabilities less each label's mean over the items (Zhou et al. 2023).

    It takes out a prior that the prompt gives to a label whatever the item says. Not normalised any more.
    """
    values = normalised(logprobs)
    return np.asarray(values - values.mean(axis=0, keepdims=True))
