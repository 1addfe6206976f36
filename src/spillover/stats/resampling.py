"""The bootstrap over items, all draws at once: weights × items instead of a loop over resamples.

A draw gives each item a weight, the number of times it was drawn. The same weights serve every metric, language and
layer, so that an item is resampled as a whole.
"""

from __future__ import annotations

import numpy as np

from spillover.core.types import Floats


def item_weights(items: int, draws: int, rng: np.random.Generator) -> Floats:
    """[draws, items]: how often each item is drawn in each bootstrap resample of as many items. Whole numbers, so that
    hits add up exactly."""
    return rng.multinomial(items, np.full(items, 1 / items), size=draws).astype(np.float64)


def resampled_means(values: Floats, weights: Floats) -> Floats:
    """[items, ...] → [draws, ...]: the mean over items in each resample. weights: from `item_weights`."""
    return np.asarray(np.tensordot(weights, values, axes=1) / weights.shape[1])
