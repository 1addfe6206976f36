"""PCA of hidden states by layer: a scatter in two dimensions, and how the first component agrees between languages.

The paper takes the mean over all tokens of the prompt, shots too, and correlates the first component of parallel items
between languages. A long item's mean lies further from the shots', in every language: length alone makes the
correlation. So it stands beside the correlation of the lengths alone, that of shuffled items, and that of states whose
length was taken out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from spillover.stats.length_baseline import length_basis
from spillover.stats.nulls import share_explained, shuffled_items

if TYPE_CHECKING:
    import pandas as pd

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class LayerPCA:
    """points: [languages, items, 2]. explained: [2], shares of variance. NaN where the states do not vary."""

    points: Floats
    explained: Floats


def layer_pca(states: NDArray[np.floating], seed: int) -> LayerPCA:
    """states: [languages, items, hidden], the same items in the same order in every language; one PCA of all."""
    from sklearn.decomposition import PCA

    languages, items, hidden = states.shape
    flat = states.reshape(-1, hidden).astype(np.float64)
    if not (flat.std(axis=0) > 1e-9 * np.abs(flat).max()).any() or len(flat) < 2:
        # The embedding of the last token, which is the same in every prompt.
        return LayerPCA(np.full((languages, items, 2), np.nan), np.full(2, np.nan))
    pca = PCA(n_components=2, svd_solver="auto", random_state=seed).fit(flat)
    return LayerPCA(pca.transform(flat).reshape(languages, items, 2), pca.explained_variance_ratio_)


def without_length(states: NDArray[np.floating], lengths: NDArray[np.integer]) -> Floats:
    """[languages, items, hidden] minus, in each language, what a parabola in the logarithm of its items' lengths
    predicts of them. The language's mean goes with it. lengths: [languages, items] tokens."""
    left = []
    for own, tokens in zip(states.astype(np.float64), lengths, strict=True):
        basis = length_basis(tokens)
        left.append(own - basis @ (basis.T @ own))
    return np.stack(left)


def correlations(values: Floats) -> Floats:
    """[languages, items] → [languages, languages] Pearson's r; NaN beside a language that does not vary."""
    centred = values - values.mean(axis=1, keepdims=True)
    norms = np.linalg.norm(centred, axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        unit = centred / np.where(norms > 1e-12, norms, np.nan)[:, None]
    return np.asarray(unit @ unit.T)


def pca_tables(
    array: Callable[[str, int], NDArray[np.float32]],
    *,
    poolings: Sequence[str],
    layers: Sequence[int],
    languages: Sequence[str],
    example_ids: Sequence[str],
    lengths: Mapping[str, NDArray[np.integer]],
    seed: int,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """(pca, pca_pairs). array: (pooling, layer) → [languages, items, hidden]. lengths: [items] own tokens by language.

    pca: a row per pooling, layer, language and item: `pc1`, `pc2`, and the layer's `explained_1`, `explained_2`.
    pca_pairs: a row per pooling, layer and two languages: `correlation` of the first component over items;
    `length`, that of their lengths alone (log tokens), the null, and `length_share` of the correlation it explains;
    `shuffled`, with the items of each language in an order of its own; `centred`, of a PCA of the states less each
    language's mean, as the first component of all languages may only tell them apart; `residual`, of one less also what
    length predicts of them.
    """
    import pandas as pd

    tokens = np.stack([lengths[code] for code in languages])
    by_length = correlations(np.log(np.maximum(tokens, 1)))
    points, pairs = [], []
    for pooling in poolings:
        for layer in layers:
            states = array(pooling, layer)
            found = layer_pca(states, seed)
            first = found.points[:, :, 0]
            centred = layer_pca(states - states.mean(axis=1, keepdims=True), seed).points[:, :, 0]
            residual = layer_pca(without_length(states, tokens), seed).points[:, :, 0]
            rng = np.random.default_rng(seed)
            columns = {
                "correlation": correlations(first),
                "centred": correlations(centred),
                "length": by_length,
                "shuffled": correlations(shuffled_items(first, rng)),
                "residual": correlations(residual),
            }
            place = {"pooling": pooling, "layer": layer}
            points.append(_points(found, languages, example_ids, place))
            pairs.append(_pairs(columns, languages, place))
    table = pd.concat(pairs, ignore_index=True)
    share = share_explained(table["correlation"].abs().to_numpy(), table["length"].abs().to_numpy())
    return pd.concat(points, ignore_index=True), table.assign(length_share=share, n=len(example_ids))


def _points(found: LayerPCA, languages: Sequence[str], ids: Sequence[str], place: Mapping[str, Any]) -> pd.DataFrame:
    import pandas as pd

    columns: dict[str, Any] = {
        "language": np.repeat(np.asarray(languages, dtype=object), len(ids)),
        "example_id": list(ids) * len(languages),
        "pc1": found.points[:, :, 0].ravel(),
        "pc2": found.points[:, :, 1].ravel(),
        "explained_1": found.explained[0],
        "explained_2": found.explained[1],
    }
    return pd.DataFrame(dict(place) | columns)


def _pairs(columns: Mapping[str, Floats], languages: Sequence[str], place: Mapping[str, Any]) -> pd.DataFrame:
    import pandas as pd

    rows = [
        dict(place) | {"language": languages[a], "other": languages[b]} | {k: v[a, b] for k, v in columns.items()}
        for a, b in combinations(range(len(languages)), 2)
    ]
    return pd.DataFrame(rows, columns=[*place, "language", "other", *columns])
