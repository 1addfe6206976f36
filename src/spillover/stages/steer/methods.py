"""From the states of parallel sentences to what is added to hidden states: three methods, one function each.

source is a language, target the reference language, row i the same sentence in both. Layers are hidden states as
`models.steering` counts them, and a state that was read at layer l says what is added at layer l.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spillover.core.config import Positions, SteeringMethod
from spillover.core.types import Floats
from spillover.models.sentence_states import SentenceStates
from spillover.stats.ridge import ridge

Arrays = dict[int, Floats]


def mean_shift(source: SentenceStates, target: SentenceStates, layers: Sequence[int]) -> Arrays:
    """{a: mean of the target minus mean of the source, b: the reverse}, [hidden] each; layers: (a, b).

    Means are over all tokens of all sentences. From a on the model works on states around the target's mean, from b on
    around the source's again: the shift of ShifCon (Zhang et al. 2025), without its training.
    """
    into, back = layers
    return {into: _token_mean(target, into) - _token_mean(source, into),
            back: _token_mean(source, back) - _token_mean(target, back)}  # fmt: skip


def language_vector(source: SentenceStates, target: SentenceStates, layers: Sequence[int]) -> Arrays:
    """{l: mean over sentences of the source's mean state minus the target's}, [hidden] each (arXiv 2602.02326)."""
    return {
        layer: np.mean(source.means[:, layer] - target.means[:, layer], axis=0, dtype=np.float64) for layer in layers
    }


def incline(source: SentenceStates, target: SentenceStates, layers: Sequence[int]) -> Arrays:
    """{l: the ridge map W from the source's mean states to the target's}, [hidden, hidden] each: h becomes
    h + strength · h W (Wang et al. 2024, arXiv 2410.12462; least squares there)."""
    return {layer: ridge(source.means[:, layer], target.means[:, layer])[0] for layer in layers}


def _token_mean(states: SentenceStates, layer: int) -> Floats:
    """[hidden]: each sentence counts by its tokens."""
    return np.average(states.means[:, layer].astype(np.float64), axis=0, weights=states.tokens)


def exchanged_sides(
    source: SentenceStates, target: SentenceStates, rng: np.random.Generator
) -> tuple[SentenceStates, SentenceStates]:
    """In half of the pairs, drawn at random, the sentences change sides. Another order of the pairs would leave a
    difference of means as it is; this is its permutation null."""
    swap = rng.permutation(len(source.tokens)) < len(source.tokens) // 2
    sides = []
    for one, other in ((source, target), (target, source)):
        means = np.where(swap[:, None, None], other.means, one.means)
        sides.append(SentenceStates(means, np.where(swap, other.tokens, one.tokens)))
    return sides[0], sides[1]


def other_partners(
    source: SentenceStates, target: SentenceStates, rng: np.random.Generator
) -> tuple[SentenceStates, SentenceStates]:
    """Every sentence with the translation of another one: the pairs are moved round a random circle."""
    order = rng.permutation(len(target.tokens))
    partners = np.empty_like(order)
    partners[order] = np.roll(order, 1)
    return source, target.take(partners)


@dataclass(frozen=True)
class Method:
    """compute: (source, target, layers) → arrays by layer. shuffle: its null pairs. n_layers: how many layers one
    intervention has, by the rule. positions: where it is applied unless the config says otherwise."""

    compute: Callable[[SentenceStates, SentenceStates, Sequence[int]], Arrays]
    shuffle: Callable[[SentenceStates, SentenceStates, np.random.Generator], tuple[SentenceStates, SentenceStates]]
    n_layers: int
    positions: Positions


METHODS: Mapping[SteeringMethod, Method] = {
    "mean-shift": Method(mean_shift, exchanged_sides, 2, "all"),
    "language-vector": Method(language_vector, exchanged_sides, 1, "question"),
    "incline": Method(incline, other_partners, 1, "last"),
}


def arrays_by_language(
    method: Method, states: Mapping[str, SentenceStates], reference: str, layers: Sequence[int]
) -> dict[str, Arrays]:
    """The arrays of every language but the reference."""
    return {code: method.compute(own, states[reference], layers) for code, own in states.items() if code != reference}


def random_arrays(arrays: Mapping[str, Arrays], rng: np.random.Generator) -> dict[str, Arrays]:
    """The same arrays after one random rotation of hidden space: each adds as much as before, in a random direction.
    A map's image of any state keeps its norm; so does every vector, and what lies between two of them."""
    hidden = next(iter(next(iter(arrays.values())).values())).shape[-1]
    gaussian = rng.normal(size=(hidden, hidden))
    rotation, triangle = np.linalg.qr(gaussian)
    rotation *= np.sign(np.diag(triangle))  # without it, not uniform over rotations (Mezzadri 2007)
    return {code: {layer: array @ rotation for layer, array in own.items()} for code, own in arrays.items()}


def other_language_arrays(arrays: Mapping[str, Arrays]) -> dict[str, Arrays]:
    """Each language with the arrays of the next one, the last with the first's. Empty with a single language."""
    codes = list(arrays)
    return {} if len(codes) < 2 else {code: arrays[codes[i - len(codes) + 1]] for i, code in enumerate(codes)}


def shuffled_arrays(
    method: Method,
    states: Mapping[str, SentenceStates],
    reference: str,
    arrays: Mapping[str, Arrays],
    rng: np.random.Generator,
) -> dict[str, Arrays]:
    """The method on null pairs. Vectors are brought to the norm of the real ones; maps are as ridge fits them."""
    shuffled: dict[str, Arrays] = {}
    for code, real in arrays.items():
        null = method.compute(*method.shuffle(states[code], states[reference], rng), tuple(real))
        shuffled[code] = {layer: _as_long_as(real[layer], array) for layer, array in null.items()}
    return shuffled


def _as_long_as(real: NDArray[np.floating], array: Floats) -> Floats:
    if array.ndim > 1:
        return array
    length = np.linalg.norm(array)
    return array * (np.linalg.norm(real) / length) if length else array
