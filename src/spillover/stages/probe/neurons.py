"""Language-specific neurons by the entropy of their activation probability (LAPE; Tang et al. 2024): counts by layer.

1. Of each MLP neuron, the share of a language's tokens on which it fires; over languages, normalised, its entropy.
2. A neuron is a language's own when it is among the 1 % of lowest entropy, of those that fire much in any language, and
   fires much in this one. "Much" is the 95th percentile of all shares.
3. Null: languages exchanged within groups of items, at the same entropy and the same "much". The 1 % are always found;
   only what the null does not find is specific.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from spillover.stats.nulls import share_explained

if TYPE_CHECKING:
    import pandas as pd

Floats = NDArray[np.float64]
GROUPS = 10
SPECIFIC = 0.01
MUCH = 0.95
LIMIT = 0.95


def firing_by_group(counts: NDArray[np.integer], lengths: NDArray[np.integer]) -> tuple[Floats, Floats]:
    """One language's [items, layers, neurons] counts and [items] tokens → their sums over every tenth item: [groups,
    layers, neurons] and [groups]."""
    groups = min(GROUPS, len(lengths))
    sums = np.stack([counts[group::groups].sum(axis=0, dtype=np.int64) for group in range(groups)])
    return sums.astype(np.float64), np.array(
        [lengths[group::groups].sum() for group in range(groups)], dtype=np.float64
    )


def entropies(shares: Floats) -> Floats:
    """[languages, ...] activation probabilities → [...] entropy over languages in nats; 0 is one language's alone."""
    total = shares.sum(axis=0)
    normal = np.divide(shares, total, out=np.zeros_like(shares), where=total > 0)
    logarithms = np.log(normal, out=np.zeros_like(normal), where=normal > 0)
    return np.asarray(-(normal * logarithms).sum(axis=0))


def thresholds(shares: Floats) -> tuple[float, float]:
    """(entropy at or below which a neuron is specific, share above which it fires much) for [languages, layers,
    neurons]; by rank, as the authors' code has it."""
    much = float(_at_rank(shares.ravel(), round(shares.size * MUCH)))
    entropy = entropies(shares)
    entropy[~(shares > much).any(axis=0)] = np.inf
    return float(_at_rank(entropy.ravel(), round(entropy.size * SPECIFIC))), much


def _at_rank(values: Floats, rank: int) -> float:
    rank = max(rank, 1)
    return float(np.partition(values, rank - 1)[rank - 1])


def specific(shares: Floats, entropy: float, much: float) -> NDArray[np.bool_]:
    """[languages, layers, neurons]: which neurons are which language's own, at given thresholds."""
    fires = shares > much
    return np.asarray(fires & (entropies(shares) <= entropy) & fires.any(axis=0))


def neurons_table(
    counts: Floats, tokens: Floats, languages: Sequence[str], *, rng: np.random.Generator, draws: int = 40
) -> pd.DataFrame:
    """A row per language and layer: `count` of its own neurons, and the null's mean, limit and share; language "" is
    all of them together, a neuron of two counting twice.

    counts: [languages, groups, layers, neurons] firings; tokens: [languages, groups]. Layer 1 is the first block.
    """
    import pandas as pd

    found_shares = _shares(counts, tokens)
    entropy, much = thresholds(found_shares)
    found = _with_all(specific(found_shares, entropy, much).sum(axis=2))
    drawn = np.empty((draws, *found.shape))
    groups = np.arange(counts.shape[1])
    for draw in range(draws):
        order = rng.permuted(np.tile(np.arange(len(counts))[:, None], (1, len(groups))), axis=0)
        shares = _shares(counts[order, groups], tokens[order, groups])
        drawn[draw] = _with_all(specific(shares, entropy, much).sum(axis=2))
    limit = np.quantile(drawn, LIMIT, axis=0)
    layers = found.shape[1]
    columns: dict[str, Any] = {
        "language": np.repeat(np.asarray([*languages, ""], dtype=object), layers),
        "layer": np.tile(np.arange(1, layers + 1), len(found)),
        "count": found.ravel(),
        "neurons": counts.shape[3],
        "permuted": drawn.mean(axis=0).ravel(),
        "permuted_limit": limit.ravel(),
        "permuted_share": share_explained(found.astype(float), drawn.mean(axis=0)).ravel(),
        "clears": (found > limit).ravel(),
        "entropy": entropy,
        "much": much,
        "reason": "",
    }
    return pd.DataFrame(columns)


def _with_all(found: NDArray[np.integer]) -> NDArray[np.integer]:
    """[languages, layers] → one row more, their sum."""
    return np.concatenate([found, found.sum(axis=0, keepdims=True)])


def _shares(counts: Floats, tokens: Floats) -> Floats:
    """[languages, layers, neurons]: the share of tokens on which each neuron fires."""
    return np.asarray(counts.sum(axis=1) / tokens.sum(axis=1)[:, None, None])


def no_neurons(languages: Sequence[str], layers: int, reason: str) -> pd.DataFrame:
    """The same table where neurons cannot be counted: NaN and the reason."""
    import pandas as pd

    nothing = dict.fromkeys(
        ("count", "neurons", "permuted", "permuted_limit", "permuted_share", "entropy", "much"), np.nan
    )
    rows = [{"language": code, "layer": layer} for code in [*languages, ""] for layer in range(1, layers + 1)]
    return pd.DataFrame(rows).assign(**nothing, clears=False, reason=reason)
