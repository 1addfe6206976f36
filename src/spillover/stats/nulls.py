"""What a measure would show if there were nothing to see."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# What is below this is 0 but for rounding.
NOTHING = 1e-12


def shuffled_items(values: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    """[languages, items] → the same with the items of each language in an order of its own: parallel no more."""
    return rng.permuted(values, axis=1)


def shuffled_orders(items: int, draws: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """[draws, items]: random orders, each of all items."""
    return rng.permuted(np.tile(np.arange(items), (draws, 1)), axis=1)


def resamples(items: int, draws: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """[draws, items]: how often each item is in each bootstrap resample. Whole numbers, so that hits add up exactly."""
    return rng.multinomial(items, np.full(items, 1 / items), size=draws).astype(np.float64)


def resampled_means(parts: NDArray[np.float64], counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """[items, ...] → [draws, ...]: the mean over items in each resample. counts: as `resamples` has them."""
    return np.asarray(np.tensordot(counts, parts, axes=1) / counts.shape[1])


def share_explained(value: NDArray[np.float64], null: NDArray[np.float64]) -> NDArray[np.float64]:
    """How much of a measure its null reaches by itself: null / value, in [0, 1]; both are 0 where there is nothing at
    all (of a residual, take 1 minus it). NaN where the value is not above 0: then nothing is there to explain."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.where(value > NOTHING, np.clip(null / value, 0, 1), np.nan))


def sign_flip(changes: NDArray[np.float64], draws: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """[n, ...] changes of items → [...] two-sided p of no change on average: before and after change places at random
    in each item, the same items for all columns. At least 1 / (draws + 1); NaN where a change is, 1 where none is."""
    n = len(changes)
    flat = changes.reshape(n, -1)
    signs = rng.integers(0, 2, size=(draws, n)) * 2.0 - 1
    p = np.empty(flat.shape[1])
    for start in range(0, len(p), 4096):
        part = flat[:, start : start + 4096]
        beyond = np.abs(signs @ part) >= np.abs(part.sum(axis=0)) - 1e-9
        p[start : start + 4096] = (1 + beyond.sum(axis=0)) / (1 + draws)
    p[np.isnan(flat).any(axis=0)] = np.nan
    return np.asarray(p.reshape(changes.shape[1:]))
