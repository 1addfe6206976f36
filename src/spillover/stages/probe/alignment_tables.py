"""Alignment of pairs of languages at every layer, beside its nulls, as two tables.

1. Once, for all layers: the resamples, the shuffles, and what length alone gives for retrieval.
2. Layer by layer, so that one layer is in memory: each language's cloud, then each pair's measures, item by item.
3. `alignment`: a row per pair, pooling, layer and measure, with an interval and three nulls.
   `alignment_items`: the same item by item, from which a change is tested and joined with the answers, without states.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from spillover.core.errors import DataError
from spillover.core.types import Progress, no_progress
from spillover.stats import length_baseline as length
from spillover.stats.geometry import (
    FEWEST_ITEMS,
    Cloud,
    Floats,
    Indices,
    cka_parts,
    cka_shuffled,
    cloud,
    in_halves,
    procrustes_parts,
    procrustes_shuffled,
    shuffled_in_halves,
    svcca_parts,
    svcca_shuffled,
)
from spillover.stats.nulls import resamples, share_explained, shuffled_orders
from spillover.stats.similarity import TIE, cosines, csls, margins, mexa_hits, retrieval_hits

if TYPE_CHECKING:
    import pandas as pd

HITS = ("mexa", "retrieval", "retrieval_back", "csls", "csls_back")
RESIDUAL = "procrustes"
MEASURES = (*HITS, "margin", "cka", "svcca", RESIDUAL)
LIMIT = 0.95

ReadStates = Callable[[str, int], Mapping[str, NDArray[np.floating]]]
"""(pooling, layer) → [n, hidden] by language, the same items in the same order in each."""


@dataclass(frozen=True)
class Draws:
    """What chance decides, once for all layers. weights: [draws, n]. shuffles, orders: [draws, n]; see `geometry`."""

    weights: Floats
    shuffles: Indices
    orders: Indices
    halves: tuple[Indices, Indices]


def draws_of(items: int, draws: int, rng: np.random.Generator) -> Draws:
    halves = in_halves(items, rng)
    orders = shuffled_in_halves(halves, draws, rng)
    return Draws(resamples(items, 5 * draws, rng), shuffled_orders(items, draws, rng), orders, halves)


def alignment_tables(
    states: ReadStates,
    *,
    lengths: Mapping[str, NDArray[np.integer]],
    example_ids: Sequence[str],
    pairs: Sequence[tuple[str, str]],
    poolings: Sequence[str],
    layers: Sequence[int],
    rng: np.random.Generator,
    random_weights: ReadStates | None = None,
    draws: int = 200,
    level: float = 0.95,
    progress: Progress = no_progress,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """(alignment, alignment_items). pairs: (language, the one it is held against). lengths: [n] tokens by language.

    random_weights: the states of the same items in the same architecture with weights that never learnt; without them
    that null is NaN. DataError with fewer than 6 items, which have no debiased CKA.
    """
    import pandas as pd

    if len(example_ids) < FEWEST_ITEMS:
        raise DataError(
            f"alignment needs {FEWEST_ITEMS} items a language, there are {len(example_ids)}",
            hint=f"--items {FEWEST_ITEMS}",
        )
    chance = draws_of(len(example_ids), draws, rng)
    by_length = [length.length_retrieval(lengths[a], lengths[b]) for a, b in pairs]
    tables, items = [], []
    total = len(poolings) * len(layers)
    for done, (pooling, layer) in enumerate((pooling, layer) for pooling in poolings for layer in layers):
        found = measure_layer(states(pooling, layer), lengths, pairs, by_length, chance)
        untrained = None
        if random_weights:
            untrained = _parts_alone(random_weights(pooling, layer), pairs, chance)
        tables.append(_summary(found, untrained, pairs, chance, level).assign(pooling=pooling, layer=layer))
        items.append(_by_item(found.parts, pairs, example_ids).assign(pooling=pooling, layer=layer))
        progress("alignment", done + 1, total)
    return pd.concat(tables, ignore_index=True), pd.concat(items, ignore_index=True)


@dataclass(frozen=True)
class LayerParts:
    """One layer of one pooling. parts, by_length: [pairs, measures, n]; the mean over items is the measure. shuffled:
    [pairs, measures, draws]."""

    parts: Floats
    by_length: Floats
    shuffled: Floats


def measure_layer(
    states: Mapping[str, NDArray[np.floating]],
    lengths: Mapping[str, NDArray[np.integer]],
    pairs: Sequence[tuple[str, str]],
    by_length: Sequence[tuple[Floats, Floats, Floats]],
    chance: Draws,
) -> LayerParts:
    """All measures of all pairs at one layer, with the shuffles and the null of length."""
    clouds = _clouds(states, pairs, chance)
    bases = {code: length.length_basis(lengths[code]) for code in clouds}
    cka = _cka_shuffled(clouds, pairs, chance)
    parts, nulls, shuffled = [], [], []
    for pair, (both, there, back) in zip(pairs, by_length, strict=True):
        source, target = (clouds[code] for code in pair)
        left, right = (bases[code] for code in pair)
        similarity = cosines(*(states[code] for code in pair))
        parts.append(_pair_parts(similarity, source, target, chance.halves))
        shuffled.append(_pair_shuffled(similarity, source, target, cka[pair], chance))
        own = [both, there, back, there, back, length.length_margins(similarity, left, right)]
        own += [length.length_cka(source, target, left, right), length.length_svcca(source, target, left, right)]
        nulls.append(np.stack([*own, length.length_procrustes(target, lengths[pair[0]], chance.halves)]))
    return LayerParts(np.stack(parts), np.stack(nulls), np.stack(shuffled))


def _clouds(
    states: Mapping[str, NDArray[np.floating]], pairs: Sequence[tuple[str, str]], chance: Draws
) -> dict[str, Cloud]:
    return {code: cloud(states[code], chance.halves) for code in dict.fromkeys(code for pair in pairs for code in pair)}


def _cka_shuffled(
    clouds: Mapping[str, Cloud], pairs: Sequence[tuple[str, str]], chance: Draws
) -> dict[tuple[str, str], Floats]:
    """[draws] by pair; the pairs with one target are shuffled together."""
    found: dict[tuple[str, str], Floats] = {}
    for target in dict.fromkeys(b for _, b in pairs):
        own = [pair for pair in pairs if pair[1] == target]
        drawn = cka_shuffled([clouds[a] for a, _ in own], clouds[target], chance.shuffles)
        found |= dict(zip(own, drawn, strict=True))
    return found


def _parts_alone(states: Mapping[str, NDArray[np.floating]], pairs: Sequence[tuple[str, str]], chance: Draws) -> Floats:
    """[pairs, measures, n]: the measures of other states, without nulls of their own."""
    clouds = _clouds(states, pairs, chance)
    return np.stack([_pair_parts(cosines(states[a], states[b]), clouds[a], clouds[b], chance.halves) for a, b in pairs])


def _pair_parts(similarity: Floats, source: Cloud, target: Cloud, halves: tuple[Indices, Indices]) -> Floats:
    """[measures, n] in the order of MEASURES. Retrieval: against all items of the other language, so that resampling
    items never makes two of one."""
    adjusted = csls(similarity)
    parts: list[NDArray[np.generic]] = [mexa_hits(similarity), retrieval_hits(similarity), retrieval_hits(similarity.T)]
    parts += [retrieval_hits(adjusted), retrieval_hits(adjusted.T), margins(similarity)]
    parts += [cka_parts(source, target), svcca_parts(source, target), procrustes_parts(source, target, halves)]
    found = np.stack([np.asarray(part, dtype=np.float64) for part in parts])
    if not source.basis.shape[1] or not target.basis.shape[1]:
        found[:] = np.nan
    return found


def _pair_shuffled(similarity: Floats, source: Cloud, target: Cloud, cka: Floats, chance: Draws) -> Floats:
    """[measures, draws]: each measure with the target's items in another order."""
    n, rows = len(similarity), np.arange(len(similarity))
    adjusted = csls(similarity)
    there, back, csls_there, csls_back = (
        _strict_best(matrix, axis) for matrix in (similarity, adjusted) for axis in (1, 0)
    )
    matrices = np.stack([there & back, there, back, csls_there, csls_back]).astype(np.float64)
    hits = matrices[:, rows, chance.shuffles].mean(axis=-1)
    true = similarity[rows, chance.shuffles].mean(axis=-1)
    margin = true - (similarity.sum() - n * true) / (n * (n - 1))
    return np.stack(
        [
            *hits,
            margin,
            cka,
            svcca_shuffled(source, target, chance.shuffles),
            procrustes_shuffled(source, target, chance.halves, chance.orders),
        ]
    )


def _strict_best(similarity: Floats, axis: int) -> NDArray[np.bool_]:
    """[n, n]: which cells are the strict maximum of their row (axis 1) or column (axis 0)."""
    top = np.partition(similarity, -2, axis=axis)
    second, best = np.take(top, [-2], axis=axis), np.take(top, [-1], axis=axis)
    return np.asarray((similarity == best) & (best > second + TIE))


def _summary(
    found: LayerParts, untrained: Floats | None, pairs: Sequence[tuple[str, str]], chance: Draws, level: float
) -> pd.DataFrame:
    """A row per pair and measure. All nulls of a residual lie below 1 where they explain something."""
    import pandas as pd

    values = found.parts.mean(axis=-1)
    low, high = _interval(found.parts, chance.weights, level)
    columns: dict[str, NDArray[np.generic]] = {"value": values, "low": low, "high": high}
    residual = np.array([measure == RESIDUAL for measure in MEASURES])[None, :]
    clears = ~np.isnan(values)
    nothing = np.full((*values.shape, 1), np.nan)
    for name, drawn, resampled in (
        ("shuffled", found.shuffled, False),
        ("length", found.by_length, True),
        ("random_weights", nothing if untrained is None else untrained, True),
    ):
        mean = drawn.mean(axis=-1)
        limit = _limits(
            drawn @ chance.weights.T / drawn.shape[-1] if resampled and drawn.shape[-1] > 1 else drawn, residual
        )
        if resampled:
            limit = _hit_limits(mean, limit, found.parts.shape[-1])
        gains = [np.where(residual, 1 - side, side) for side in (values, mean)]
        columns |= {name: mean, f"{name}_limit": limit, f"{name}_share": share_explained(*gains)}
        clears &= np.isnan(limit) | np.where(residual, values < limit - TIE, values > limit + TIE)
    columns["clears"] = clears
    flat = {name: column.ravel() for name, column in columns.items()}
    where = {
        "language": np.repeat([a for a, _ in pairs], len(MEASURES)),
        "other": np.repeat([b for _, b in pairs], len(MEASURES)),
    }
    reason = np.where(np.isnan(values), "the states do not vary", "").ravel()
    return pd.DataFrame(
        where | {"measure": np.tile(MEASURES, len(pairs)), "n": found.parts.shape[-1]} | flat | {"reason": reason}
    )


def _limits(drawn: Floats, residual: NDArray[np.bool_]) -> Floats:
    """[pairs, measures]: what 5 % of the draws of a null pass: their 95th percentile, of a residual the 5th."""
    low, high = np.quantile(drawn, [1 - LIMIT, LIMIT], axis=-1)
    return np.asarray(np.where(residual, low, high))


def _hit_limits(mean: Floats, limit: Floats, n: int) -> Floats:
    """The same for a null that is one number: the limit of hit rates is the binomial's, since chances vary less than
    hits do."""
    from scipy import stats

    hits = np.array([measure in HITS for measure in MEASURES])[None, :]
    return np.asarray(np.where(hits, stats.binom.ppf(LIMIT, n, np.clip(mean, 0, 1)) / n, limit))


def _interval(parts: Floats, weights: Floats, level: float) -> tuple[Floats, Floats]:
    """Percentiles of the bootstrap over items. Where every item agrees, none of its draws varies: there the interval of
    a hit rate is Wilson's."""
    from scipy import stats

    tail = (1 - level) / 2
    low, high = np.quantile(parts @ weights.T / parts.shape[-1], [tail, 1 - tail], axis=-1)
    n, z2 = parts.shape[-1], stats.norm.ppf(1 - tail) ** 2
    slack = z2 / (n + z2)
    hits = np.array([measure in HITS for measure in MEASURES])[None, :]
    values = parts.mean(axis=-1)
    low = np.where(hits & (values == 1), 1 - slack, low)
    high = np.where(hits & (values == 0), slack, high)
    return low, high


def _by_item(parts: Floats, pairs: Sequence[tuple[str, str]], example_ids: Sequence[str]) -> pd.DataFrame:
    """A row per pair and item, a column per measure, float32."""
    import pandas as pd

    n = len(example_ids)
    columns = {
        "language": np.repeat([a for a, _ in pairs], n),
        "other": np.repeat([b for _, b in pairs], n),
        "example_id": np.tile(np.asarray(example_ids, dtype=object), len(pairs)),
    }
    columns |= {name: parts[:, i].ravel().astype(np.float32) for i, name in enumerate(MEASURES)}
    return pd.DataFrame(columns)
