"""Cross-lingual alignment at every layer, beside its nulls, as two tables.

1. Drawn once for all layers: bootstrap weights, permutations, and what length alone gives for retrieval.
2. Layer by layer, so that one layer is in memory: each language's representation, then each pair's measures by item.
3. `alignment`: a row per pair, pooling, layer and measure, with an interval and three nulls.
   `alignment_items`: the same item by item, from which a change is tested and joined with the answers, without states.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from spillover.core.errors import DataError
from spillover.core.tables import Column
from spillover.core.types import Floats, Indices, Progress, no_progress
from spillover.stages.probe.columns import (
    CLEARS,
    EXAMPLE_ID,
    ITEMS,
    LANGUAGE,
    LAYER,
    OTHER,
    POOLING,
    REASON,
    null_columns,
)
from spillover.stages.probe.parallel_states import ParallelStates, ReadStates
from spillover.stats import length_baseline as length
from spillover.stats.geometry import (
    FEWEST_ITEMS,
    Halves,
    LayerRepresentation,
    cka_contributions,
    cka_shuffled,
    in_halves,
    layer_representation,
    procrustes_contributions,
    procrustes_shuffled,
    shuffled_in_halves,
    svcca_contributions,
    svcca_shuffled,
)
from spillover.stats.nulls import share_explained, shuffled_orders
from spillover.stats.resampling import item_weights, percentile_interval, resampled_means
from spillover.stats.similarity import TIE, cosines, csls, margins, mexa_hits, retrieval_hits

if TYPE_CHECKING:
    import pandas as pd

HIT_RATES = ("mexa", "retrieval", "retrieval_back", "csls", "csls_back")
RESIDUAL = "procrustes"
MEASURES = (*HIT_RATES, "margin", "cka", "svcca", RESIDUAL)
IS_HIT_RATE = np.array([measure in HIT_RATES for measure in MEASURES])
IS_RESIDUAL = np.array([measure == RESIDUAL for measure in MEASURES])
LIMIT = 0.95
RESAMPLES_PER_SHUFFLE = 5

ALIGNMENT_COLUMNS = (
    LANGUAGE,
    OTHER,
    Column("measure", "measure of alignment", range=", ".join(MEASURES)),
    ITEMS,
    Column("value", "the measure", range="hit rates, SVCCA: 0 to 1; margin: -2 to 2; CKA: up to 1; Procrustes: 0 up"),
    Column("low", "lower bound of the 95 % bootstrap interval over items"),
    Column("high", "upper bound of the 95 % bootstrap interval over items"),
    *null_columns("shuffled", "the other language's items permuted"),
    *null_columns("length", "states that encode the item's length alone"),
    *null_columns("random_weights", "the same architecture with randomly initialised weights"),
    CLEARS,
    REASON,
    POOLING,
    LAYER,
)
ITEM_COLUMNS = (
    LANGUAGE,
    OTHER,
    EXAMPLE_ID,
    *(Column(name, f"{name} of the item: a hit or not", range="0 or 1") for name in HIT_RATES),
    Column("margin", "cosine with its translation minus its mean cosine with other items", range="-2 to 2"),
    *(Column(name, f"contribution of the item to {name}; the mean is the measure") for name in MEASURES[6:]),
    POOLING,
    LAYER,
)


@dataclass(frozen=True)
class Draws:
    """The random draws, shared by all layers. weights: [resamples, n] of the bootstrap. shuffles: [draws, n]
    permutations of all items; half_shuffles: [draws, n] within each half. halves: the items of each half."""

    weights: Floats
    shuffles: Indices
    half_shuffles: Indices
    halves: Halves


def make_draws(items: int, draws: int, rng: np.random.Generator) -> Draws:
    """Permutations and bootstrap weights for so many items."""
    halves = in_halves(items, rng)
    half_shuffles = shuffled_in_halves(halves, draws, rng)
    weights = item_weights(items, RESAMPLES_PER_SHUFFLE * draws, rng)
    return Draws(weights, shuffled_orders(items, draws, rng), half_shuffles, halves)


def alignment_tables(
    states: ParallelStates,
    pairs: Sequence[tuple[str, str]],
    *,
    rng: np.random.Generator,
    random_weights: ReadStates | None = None,
    draws: int = 200,
    level: float = 0.95,
    progress: Progress = no_progress,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """(alignment, alignment_items). pairs: (language, the one it is compared with).

    random_weights: the states of the same items in the same architecture with randomly initialised weights; without
    them that null is NaN. DataError with fewer than 6 items, for which debiased CKA is undefined.
    """
    import pandas as pd

    n = len(states.example_ids)
    if n < FEWEST_ITEMS:
        raise DataError(
            f"alignment needs at least {FEWEST_ITEMS} items per language, there are {n}", hint=f"--items {FEWEST_ITEMS}"
        )
    chance = make_draws(n, draws, rng)
    baselines = [length.length_retrieval(states.lengths[a], states.lengths[b]) for a, b in pairs]
    tables, items = [], []
    for done, (pooling, layer) in enumerate(states):
        measures = measure_layer(states.read(pooling, layer), states.lengths, pairs, baselines, chance)
        untrained = _untrained_values(random_weights(pooling, layer), pairs, chance) if random_weights else None
        tables.append(_summary(measures, untrained, pairs, chance, level).assign(pooling=pooling, layer=layer))
        items.append(_by_item(measures.values, pairs, states.example_ids).assign(pooling=pooling, layer=layer))
        progress("alignment", done + 1, len(states))
    return pd.concat(tables, ignore_index=True), pd.concat(items, ignore_index=True)


@dataclass(frozen=True)
class LayerMeasures:
    """One layer of one pooling. values, by_length: [pairs, measures, n], whose mean over items is the measure.
    shuffled: [pairs, measures, draws]."""

    values: Floats
    by_length: Floats
    shuffled: Floats


def measure_layer(
    states: Mapping[str, NDArray[np.floating]],
    lengths: Mapping[str, NDArray[np.integer]],
    pairs: Sequence[tuple[str, str]],
    baselines: Sequence[length.LengthRetrieval],
    chance: Draws,
) -> LayerMeasures:
    """All measures of all pairs at one layer, with the permutation null and the length baseline."""
    representations = _representations(states, pairs, chance.halves)
    bases = {code: length.length_basis(lengths[code]) for code in representations}
    cka = _cka_shuffled(representations, pairs, chance)
    values, by_length, shuffled = [], [], []
    for pair, retrieval in zip(pairs, baselines, strict=True):
        source, target = (representations[code] for code in pair)
        left, right = (bases[code] for code in pair)
        similarity = cosines(*(states[code] for code in pair))
        values.append(_pair_values(similarity, source, target, chance.halves))
        shuffled.append(_pair_shuffled(similarity, source, target, cka[pair], chance))
        baseline = {
            "mexa": retrieval.mexa,
            "retrieval": retrieval.forward,
            "retrieval_back": retrieval.backward,
            "csls": retrieval.forward,
            "csls_back": retrieval.backward,
            "margin": length.length_margins(similarity, left, right),
            "cka": length.length_cka(source, target, left, right),
            "svcca": length.length_svcca(source, target, left, right),
            RESIDUAL: length.length_procrustes(target, lengths[pair[0]], chance.halves),
        }
        by_length.append(_stacked(baseline))
    return LayerMeasures(np.stack(values), np.stack(by_length), np.stack(shuffled))


def _stacked(by_measure: Mapping[str, NDArray[np.generic]]) -> Floats:
    """Arrays by measure as one, in the order of MEASURES."""
    return np.stack([np.asarray(by_measure[measure], dtype=np.float64) for measure in MEASURES])


def _representations(
    states: Mapping[str, NDArray[np.floating]], pairs: Sequence[tuple[str, str]], halves: Halves
) -> dict[str, LayerRepresentation]:
    codes = dict.fromkeys(code for pair in pairs for code in pair)
    return {code: layer_representation(states[code], halves) for code in codes}


def _cka_shuffled(
    representations: Mapping[str, LayerRepresentation], pairs: Sequence[tuple[str, str]], chance: Draws
) -> dict[tuple[str, str], Floats]:
    """[draws] by pair; pairs with the same target are permuted together."""
    by_pair: dict[tuple[str, str], Floats] = {}
    for target in dict.fromkeys(b for _, b in pairs):
        with_target = [pair for pair in pairs if pair[1] == target]
        sources = [representations[a] for a, _ in with_target]
        by_pair |= zip(with_target, cka_shuffled(sources, representations[target], chance.shuffles), strict=True)
    return by_pair


def _untrained_values(
    states: Mapping[str, NDArray[np.floating]], pairs: Sequence[tuple[str, str]], chance: Draws
) -> Floats:
    """[pairs, measures, n]: the measures of the randomly initialised model's states."""
    representations = _representations(states, pairs, chance.halves)
    return np.stack(
        [
            _pair_values(cosines(states[a], states[b]), representations[a], representations[b], chance.halves)
            for a, b in pairs
        ]
    )


def _pair_values(
    similarity: Floats, source: LayerRepresentation, target: LayerRepresentation, halves: Halves
) -> Floats:
    """[measures, n]. Retrieval is among all items of the other language, so that resampling items never makes two of
    one."""
    adjusted = csls(similarity)
    values = {
        "mexa": mexa_hits(similarity),
        "retrieval": retrieval_hits(similarity),
        "retrieval_back": retrieval_hits(similarity.T),
        "csls": retrieval_hits(adjusted),
        "csls_back": retrieval_hits(adjusted.T),
        "margin": margins(similarity),
        "cka": cka_contributions(source, target),
        "svcca": svcca_contributions(source, target),
        RESIDUAL: procrustes_contributions(source, target, halves),
    }
    stacked = _stacked(values)
    if not source.basis.shape[1] or not target.basis.shape[1]:
        stacked[:] = np.nan
    return stacked


def _pair_shuffled(
    similarity: Floats, source: LayerRepresentation, target: LayerRepresentation, cka: Floats, chance: Draws
) -> Floats:
    """[measures, draws]: each measure with the target's items permuted."""
    hits, margin = shuffled_retrieval(similarity, chance.shuffles)
    others = {
        "margin": margin,
        "cka": cka,
        "svcca": svcca_shuffled(source, target, chance.shuffles),
        RESIDUAL: procrustes_shuffled(source, target, chance.halves, chance.half_shuffles),
    }
    return _stacked(hits | others)


def shuffled_retrieval(similarity: Floats, shuffles: Indices) -> tuple[dict[str, Floats], Floats]:
    """(hit rates by measure, margins), [draws] each, with the target's items permuted by each of `shuffles`.

    similarity: [n, n]. No cosine is computed again: a permutation only moves which cells are the true pairs."""
    n, rows = len(similarity), np.arange(len(similarity))
    adjusted = csls(similarity)
    forward, backward = _strict_best(similarity, 1), _strict_best(similarity, 0)
    cells = {
        "mexa": forward & backward,
        "retrieval": forward,
        "retrieval_back": backward,
        "csls": _strict_best(adjusted, 1),
        "csls_back": _strict_best(adjusted, 0),
    }
    hits = {name: best.astype(np.float64)[rows, shuffles].mean(axis=-1) for name, best in cells.items()}
    true = similarity[rows, shuffles].mean(axis=-1)
    return hits, true - (similarity.sum() - n * true) / (n * (n - 1))


def _strict_best(similarity: Floats, axis: int) -> NDArray[np.bool_]:
    """[n, n]: which cells are the strict maximum of their row (axis 1) or column (axis 0)."""
    top = np.partition(similarity, -2, axis=axis)
    second, best = np.take(top, [-2], axis=axis), np.take(top, [-1], axis=axis)
    return np.asarray((similarity == best) & (best > second + TIE))


def _summary(
    measures: LayerMeasures,
    untrained: Floats | None,
    pairs: Sequence[tuple[str, str]],
    chance: Draws,
    level: float,
) -> pd.DataFrame:
    """A row per pair and measure. A residual is compared with the lower tail of its nulls, by its distance from 1."""
    import pandas as pd

    n = measures.values.shape[-1]
    values = measures.values.mean(axis=-1)
    low, high = _interval(measures.values, chance.weights, level)
    columns: dict[str, NDArray[np.generic]] = {"value": values, "low": low, "high": high}
    clears = ~np.isnan(values)
    undefined = np.full((*values.shape, n), np.nan)
    nulls = {
        "shuffled": (measures.shuffled.mean(axis=-1), _limits(measures.shuffled)),
        "length": _mean_and_limit(measures.by_length, chance.weights),
        "random_weights": _mean_and_limit(undefined if untrained is None else untrained, chance.weights),
    }
    for name, (mean, limit) in nulls.items():
        gain, null_gain = (np.where(IS_RESIDUAL, 1 - side, side) for side in (values, mean))
        columns |= {name: mean, f"{name}_limit": limit, f"{name}_share": share_explained(gain, null_gain)}
        clears &= np.isnan(limit) | np.where(IS_RESIDUAL, values < limit - TIE, values > limit + TIE)
    columns["clears"] = clears
    flat = {name: column.ravel() for name, column in columns.items()}
    keys = {
        "language": np.repeat([a for a, _ in pairs], len(MEASURES)),
        "other": np.repeat([b for _, b in pairs], len(MEASURES)),
        "measure": np.tile(MEASURES, len(pairs)),
        "n": n,
    }
    reason = np.where(np.isnan(values), "the states do not vary", "").ravel()
    return pd.DataFrame(keys | flat | {"reason": reason})


def _limits(draws: Floats) -> Floats:
    """[pairs, measures, draws] of a null → [pairs, measures]: its 95th percentile, of a residual the 5th."""
    low, high = np.quantile(draws, [1 - LIMIT, LIMIT], axis=-1)
    return np.asarray(np.where(IS_RESIDUAL, low, high))


def _mean_and_limit(values: Floats, weights: Floats) -> tuple[Floats, Floats]:
    """Of a null with one value per item, [pairs, measures, n]: its mean, and its limit over resampled items. The limit
    of a hit rate is the binomial's, since expected hits vary less than hits do."""
    from scipy import stats

    n, mean = values.shape[-1], values.mean(axis=-1)
    binomial = stats.binom.ppf(LIMIT, n, np.clip(mean, 0, 1)) / n
    return mean, np.asarray(np.where(IS_HIT_RATE, binomial, _limits(_resampled(values, weights))))


def _resampled(values: Floats, weights: Floats) -> Floats:
    """[pairs, measures, n] → [pairs, measures, resamples]."""
    return np.moveaxis(resampled_means(np.moveaxis(values, -1, 0), weights), 0, -1)


def _interval(values: Floats, weights: Floats, level: float) -> tuple[Floats, Floats]:
    """Percentile intervals of the bootstrap over items, [pairs, measures] each. Where all items agree, the bootstrap
    has no width: there a hit rate has Wilson's interval."""
    n, mean = values.shape[-1], values.mean(axis=-1)
    low, high = percentile_interval(resampled_means(np.moveaxis(values, -1, 0), weights), level)
    width = wilson_width(n, level)
    low = np.where(IS_HIT_RATE & (mean == 1), 1 - width, low)
    high = np.where(IS_HIT_RATE & (mean == 0), width, high)
    return low, high


def wilson_width(n: int, level: float) -> float:
    """The width of Wilson's interval of a share where all of n items agree: [0, width] or [1 - width, 1]."""
    from scipy.stats import norm

    z2 = float(norm.ppf((1 + level) / 2)) ** 2
    return z2 / (n + z2)


def _by_item(values: Floats, pairs: Sequence[tuple[str, str]], example_ids: Sequence[str]) -> pd.DataFrame:
    """A row per pair and item, a column per measure, float32."""
    import pandas as pd

    n = len(example_ids)
    columns = {
        "language": np.repeat([a for a, _ in pairs], n),
        "other": np.repeat([b for _, b in pairs], n),
        "example_id": np.tile(np.asarray(example_ids, dtype=object), len(pairs)),
    }
    columns |= {name: values[:, i].ravel().astype(np.float32) for i, name in enumerate(MEASURES)}
    return pd.DataFrame(columns)
