"""Null distributions by permutation, and how much of a measure its null explains."""

from __future__ import annotations

import numpy as np

from spillover.core.types import Floats, Indices

# A value at or below this is zero up to rounding.
ROUNDING = 1e-12


def shuffled_items(values: Floats, rng: np.random.Generator) -> Floats:
    """[languages, items] → the same with the items of each language permuted independently: no longer parallel."""
    return rng.permuted(values, axis=1)


def shuffled_orders(items: int, draws: int, rng: np.random.Generator) -> Indices:
    """[draws, items]: random permutations of all items."""
    return rng.permuted(np.tile(np.arange(items), (draws, 1)), axis=1)


def share_explained(value: Floats, null: Floats) -> Floats:
    """The share of a measure that its null explains: null / value, clipped to [0, 1]. NaN where the value is not above
    0. Both are measures whose absence is 0: of a residual, pass 1 minus it."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.where(value > ROUNDING, np.clip(null / value, 0, 1), np.nan))


def sign_flip(changes: Floats, draws: int, rng: np.random.Generator) -> Floats:
    """[n, ...] paired differences of items → [...] two-sided p-values of the paired permutation test: before and after
    are exchanged at random within each item, the same exchanges for all columns. At least 1 / (draws + 1); NaN where a
    difference is NaN, 1 where all are 0."""
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
