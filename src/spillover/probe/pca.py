"""PCA of hidden states by layer: a scatter in two dimensions, and how the first component agrees between languages."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spillover.probe.nulls import shuffled_items

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class LayerPCA:
    """points: [languages, items, 2]. explained: [2], shares of variance. correlation: mean over language pairs of
    Pearson's r of the first component over items, in [-1, 1]; `null`: the same with items shuffled in each language.
    NaN where the states do not vary."""

    points: Floats
    explained: Floats
    correlation: float
    null: float


def layer_pca(states: Floats, rng: np.random.Generator) -> LayerPCA:
    """states: [languages, items, hidden], the same items in the same order in every language."""
    from sklearn.decomposition import PCA

    languages, items, hidden = states.shape
    if not states.reshape(-1, hidden).var(axis=0).any():
        # The embedding of the last token, which is the same in every prompt.
        nothing = np.full(2, np.nan)
        return LayerPCA(np.zeros((languages, items, 2)), nothing, float("nan"), float("nan"))
    pca = PCA(n_components=2, svd_solver="full").fit(states.reshape(-1, hidden))
    points = pca.transform(states.reshape(-1, hidden)).reshape(languages, items, 2)
    first = points[:, :, 0]
    null = mean_correlation(shuffled_items(first, rng))
    return LayerPCA(points, pca.explained_variance_ratio_, mean_correlation(first), null)


def mean_correlation(values: Floats) -> float:
    """[languages, items] → the mean Pearson correlation of two languages; NaN with one language or a constant one."""
    if len(values) < 2 or (values.std(axis=1) == 0).any():
        return float("nan")
    correlations = np.asarray(np.corrcoef(values))
    return float(correlations[np.triu_indices(len(values), k=1)].mean())
