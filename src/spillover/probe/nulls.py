"""What a measure would show if there were nothing to see."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray


def random_tokens(vocabulary: int, count: int, avoid: Collection[int], rng: np.random.Generator) -> list[int]:
    """`count` different token ids outside `avoid`: the control of a label set with as many tokens."""
    allowed = np.setdiff1d(np.arange(vocabulary), np.fromiter(avoid, dtype=np.int64, count=len(avoid)))
    return [int(token) for token in rng.choice(allowed, size=min(count, len(allowed)), replace=False)]


def shuffled_items(values: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    """[languages, items] → the same with the items of each language in an order of its own: parallel no more."""
    return rng.permuted(values, axis=1)
