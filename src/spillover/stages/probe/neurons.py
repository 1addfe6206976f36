"""Language-specific neurons by the entropy of their activation probability (LAPE; Tang et al. 2024): counts by layer.

1. Activation probability: the share of a language's tokens on which an MLP neuron fires. Entropy: of these
   probabilities, normalised over languages.
2. A neuron is specific to a language when it is among the 1 % of lowest entropy and its activation probability in that
   language is above the 95th percentile of all. Neurons above it in no language are left out.
3. Null: languages permuted within groups of items, at the same thresholds. There is always a lowest 1 %; only counts
   above the null's are evidence of specific neurons.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from spillover.core.tables import Column
from spillover.core.types import Floats
from spillover.stages.probe.columns import CLEARS, REASON, SHARE, null_columns
from spillover.stats.nulls import share_explained

if TYPE_CHECKING:
    import pandas as pd

GROUPS = 10
LOWEST = 0.01
HIGH = 0.95
LIMIT = 0.95

NEURON_COLUMNS = (
    Column("language", 'language code; "" for the sum over languages'),
    Column("layer", "number of the block, from 1", range="1 up"),
    Column("count", "neurons specific to the language", unit="neurons", range="0 up"),
    Column("neurons", "MLP neurons of the block", unit="neurons", range="1 up"),
    *null_columns("permuted", "languages permuted within groups of items"),
    CLEARS,
    Column("entropy", "entropy at or below which a neuron is specific", unit="nats", range="0 up"),
    Column("much", "activation probability above which a neuron fires often in a language", range=SHARE),
    REASON,
)


def firing_by_group(counts: NDArray[np.integer], lengths: NDArray[np.integer]) -> tuple[Floats, Floats]:
    """One language's [items, layers, neurons] firings and [items] tokens → sums over ten interleaved groups of items:
    [groups, layers, neurons] and [groups]."""
    groups = min(GROUPS, len(lengths))
    sums = np.stack([counts[group::groups].sum(axis=0, dtype=np.int64) for group in range(groups)])
    return sums.astype(np.float64), np.array(
        [lengths[group::groups].sum() for group in range(groups)], dtype=np.float64
    )


def entropies(probabilities: Floats) -> Floats:
    """[languages, ...] activation probabilities → [...] entropy over languages in nats; 0: one language only."""
    total = probabilities.sum(axis=0)
    normalised = np.divide(probabilities, total, out=np.zeros_like(probabilities), where=total > 0)
    logarithms = np.log(normalised, out=np.zeros_like(normalised), where=normalised > 0)
    return np.asarray(-(normalised * logarithms).sum(axis=0))


@dataclass(frozen=True)
class Thresholds:
    """entropy: at or below it a neuron is specific (nats). probability: above it, it fires often in a language."""

    entropy: float
    probability: float


def thresholds(probabilities: Floats) -> Thresholds:
    """The thresholds of [languages, layers, neurons] activation probabilities; by rank, as in the authors' code."""
    high = _at_rank(probabilities.ravel(), round(probabilities.size * HIGH))
    entropy = entropies(probabilities)
    entropy[~(probabilities > high).any(axis=0)] = np.inf
    return Thresholds(_at_rank(entropy.ravel(), round(entropy.size * LOWEST)), high)


def _at_rank(values: Floats, rank: int) -> float:
    rank = max(rank, 1)
    return float(np.partition(values, rank - 1)[rank - 1])


def specific(probabilities: Floats, limits: Thresholds) -> NDArray[np.bool_]:
    """[languages, layers, neurons]: which neurons are specific to which language."""
    return np.asarray((probabilities > limits.probability) & (entropies(probabilities) <= limits.entropy))


def neurons_table(
    counts: Floats, tokens: Floats, languages: Sequence[str], *, rng: np.random.Generator, draws: int = 40
) -> pd.DataFrame:
    """A row per language and layer: the count of specific neurons with its null; language "" is their sum, in which a
    neuron specific to two languages counts twice.

    counts: [languages, groups, layers, neurons] firings; tokens: [languages, groups]. Layer 1 is the first block.
    """
    import pandas as pd

    probabilities = _probabilities(counts, tokens)
    limits = thresholds(probabilities)
    specific_counts = _with_sum(specific(probabilities, limits).sum(axis=2))
    permuted = np.empty((draws, *specific_counts.shape))
    groups = np.arange(counts.shape[1])
    for draw in range(draws):
        order = rng.permuted(np.tile(np.arange(len(counts))[:, None], (1, len(groups))), axis=0)
        probabilities = _probabilities(counts[order, groups], tokens[order, groups])
        permuted[draw] = _with_sum(specific(probabilities, limits).sum(axis=2))
    limit, mean = np.quantile(permuted, LIMIT, axis=0), permuted.mean(axis=0)
    layers = specific_counts.shape[1]
    columns: dict[str, Any] = {
        "language": np.repeat(np.asarray([*languages, ""], dtype=object), layers),
        "layer": np.tile(np.arange(1, layers + 1), len(specific_counts)),
        "count": specific_counts.ravel(),
        "neurons": counts.shape[3],
        "permuted": mean.ravel(),
        "permuted_limit": limit.ravel(),
        "permuted_share": share_explained(specific_counts.astype(float), mean).ravel(),
        "clears": (specific_counts > limit).ravel(),
        "entropy": limits.entropy,
        "much": limits.probability,
        "reason": "",
    }
    return pd.DataFrame(columns)


def _with_sum(counts: NDArray[np.integer]) -> NDArray[np.integer]:
    """[languages, layers] → [languages + 1, layers], the last row their sum."""
    return np.concatenate([counts, counts.sum(axis=0, keepdims=True)])


def _probabilities(counts: Floats, tokens: Floats) -> Floats:
    """[languages, layers, neurons]: activation probabilities."""
    return np.asarray(counts.sum(axis=1) / tokens.sum(axis=1)[:, None, None])


def no_neurons(languages: Sequence[str], layers: int, reason: str) -> pd.DataFrame:
    """The same table where neurons cannot be counted: NaN and the reason."""
    import pandas as pd

    rows = [{"language": code, "layer": layer} for code in [*languages, ""] for layer in range(1, layers + 1)]
    return pd.DataFrame(rows, columns=[column.name for column in NEURON_COLUMNS]).assign(clears=False, reason=reason)
