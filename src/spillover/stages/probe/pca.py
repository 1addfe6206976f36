"""PCA of hidden states by layer: a scatter in two dimensions, and how the first component correlates between languages.

The paper takes the mean over all tokens of the prompt, shots too, and correlates the first component of parallel items
between languages. A long item's mean lies further from the shots', in every language, so length alone produces a
correlation. It is therefore reported beside the correlation of the lengths alone, that of permuted items, and that of
states with length regressed out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from spillover.core.tables import Column
from spillover.core.types import Floats
from spillover.stages.probe.columns import EXAMPLE_ID, ITEMS, LANGUAGE, LAYER, OTHER, POOLING, SHARE
from spillover.stages.probe.parallel_states import ParallelStates
from spillover.stats.length_baseline import length_basis
from spillover.stats.nulls import ROUNDING, share_explained, shuffled_items
from spillover.stats.similarity import unit

if TYPE_CHECKING:
    import pandas as pd

PCA_COLUMNS = (
    POOLING,
    LAYER,
    LANGUAGE,
    EXAMPLE_ID,
    Column("pc1", "first principal component, of one PCA over all languages"),
    Column("pc2", "second principal component"),
    Column("explained_1", "share of variance explained by the first component", range=SHARE),
    Column("explained_2", "share of variance explained by the second component", range=SHARE),
)
PAIR_COLUMNS = (
    POOLING,
    LAYER,
    LANGUAGE,
    OTHER,
    Column("correlation", "Pearson's r of the first component of parallel items", range="-1 to 1"),
    Column("centred", "the same for a PCA of the states minus each language's mean", range="-1 to 1"),
    Column("length", "null: Pearson's r of the items' log token counts", range="-1 to 1"),
    Column("shuffled", "null: the same as `correlation` with each language's items permuted", range="-1 to 1"),
    Column("residual", "the same as `centred` with length regressed out", range="-1 to 1"),
    Column("length_share", "share of |correlation| that |length| explains", range=SHARE),
    ITEMS,
)


@dataclass(frozen=True)
class LayerPCA:
    """points: [languages, items, 2]. explained: [2] shares of variance. NaN where the states do not vary."""

    points: Floats
    explained: Floats


def layer_pca(states: NDArray[np.floating], seed: int) -> LayerPCA:
    """One PCA of all languages' items. states: [languages, items, hidden], parallel items."""
    from sklearn.decomposition import PCA

    languages, items, hidden = states.shape
    flat = states.reshape(-1, hidden).astype(np.float64)
    if not (flat.std(axis=0) > 1e-9 * np.abs(flat).max()).any() or len(flat) < 2:
        # For example the embedding of the last token, which is the same in every prompt.
        return LayerPCA(np.full((languages, items, 2), np.nan), np.full(2, np.nan))
    pca = PCA(n_components=2, svd_solver="auto", random_state=seed).fit(flat)
    return LayerPCA(pca.transform(flat).reshape(languages, items, 2), pca.explained_variance_ratio_)


def without_length(states: NDArray[np.floating], lengths: NDArray[np.integer]) -> Floats:
    """[languages, items, hidden]: residuals of a regression, within each language, on a quadratic in log length with a
    constant. lengths: [languages, items] tokens."""
    residuals = []
    for language_states, tokens in zip(states.astype(np.float64), lengths, strict=True):
        basis = length_basis(tokens)
        residuals.append(language_states - basis @ (basis.T @ language_states))
    return np.stack(residuals)


def correlations(values: Floats) -> Floats:
    """[languages, items] → [languages, languages] Pearson's r; NaN for a language whose values do not vary."""
    centred = values - values.mean(axis=1, keepdims=True)
    directions = unit(centred)
    directions[~(np.linalg.norm(centred, axis=1) > ROUNDING)] = np.nan
    return np.asarray(directions @ directions.T)


def pca_tables(states: ParallelStates, seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """(pca, pca_pairs). pca: a row per pooling, layer, language and item; pca_pairs: per pooling, layer and two
    languages. `centred` is there since the first component of all languages may only separate the languages."""
    import pandas as pd

    tokens = states.length_matrix
    by_length = correlations(np.log(np.maximum(tokens, 1)))
    points, pairs = [], []
    for pooling, layer in states:
        array = states.array(pooling, layer)
        pca = layer_pca(array, seed)
        first = pca.points[:, :, 0]
        centred = layer_pca(array - array.mean(axis=1, keepdims=True), seed).points[:, :, 0]
        residual = layer_pca(without_length(array, tokens), seed).points[:, :, 0]
        columns = {
            "correlation": correlations(first),
            "centred": correlations(centred),
            "length": by_length,
            "shuffled": correlations(shuffled_items(first, np.random.default_rng(seed))),
            "residual": correlations(residual),
        }
        keys = {"pooling": pooling, "layer": layer}
        points.append(_points(pca, states.languages, states.example_ids, keys))
        pairs.append(_pairs(columns, states.languages, keys))
    table = pd.concat(pairs, ignore_index=True)
    share = share_explained(table["correlation"].abs().to_numpy(), table["length"].abs().to_numpy())
    return pd.concat(points, ignore_index=True), table.assign(length_share=share, n=len(states.example_ids))


def _points(pca: LayerPCA, languages: Sequence[str], ids: Sequence[str], keys: Mapping[str, Any]) -> pd.DataFrame:
    import pandas as pd

    columns: dict[str, Any] = {
        "language": np.repeat(np.asarray(languages, dtype=object), len(ids)),
        "example_id": list(ids) * len(languages),
        "pc1": pca.points[:, :, 0].ravel(),
        "pc2": pca.points[:, :, 1].ravel(),
        "explained_1": pca.explained[0],
        "explained_2": pca.explained[1],
    }
    return pd.DataFrame(dict(keys) | columns)


def _pairs(columns: Mapping[str, Floats], languages: Sequence[str], keys: Mapping[str, Any]) -> pd.DataFrame:
    import pandas as pd

    rows = [
        dict(keys) | {"language": languages[a], "other": languages[b]} | {k: v[a, b] for k, v in columns.items()}
        for a, b in combinations(range(len(languages)), 2)
    ]
    return pd.DataFrame(rows, columns=[*keys, "language", "other", *columns])
