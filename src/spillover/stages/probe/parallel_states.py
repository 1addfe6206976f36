"""Pooled hidden states of parallel items: what every table of languages and the PCA are computed from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

ReadStates = Callable[[str, int], Mapping[str, NDArray[np.floating]]]
"""(pooling, layer) → [n, hidden] by language, the same items in the same order in each."""


@dataclass(frozen=True)
class ParallelStates:
    """The states of the same items in several languages, read one layer of one pooling at a time.

    read: (pooling, layer) → [n, hidden] by language. lengths: [n] tokens of each item's own text, by language, in the
    order of the languages. example_ids: [n]. poolings, layers: which to read.
    """

    read: ReadStates
    lengths: Mapping[str, NDArray[np.integer]]
    example_ids: Sequence[str]
    poolings: Sequence[str]
    layers: Sequence[int]

    @property
    def languages(self) -> tuple[str, ...]:
        """Language codes, in order."""
        return tuple(self.lengths)

    @property
    def length_matrix(self) -> NDArray[np.integer]:
        """[languages, n] tokens."""
        return np.stack(list(self.lengths.values()))

    def array(self, pooling: str, layer: int) -> NDArray[np.floating]:
        """[languages, n, hidden]."""
        states = self.read(pooling, layer)
        return np.stack([states[code] for code in self.languages])

    def __len__(self) -> int:
        """How many (pooling, layer) there are."""
        return len(self.poolings) * len(self.layers)

    def __iter__(self) -> Iterator[tuple[str, int]]:
        """Every (pooling, layer), poolings first."""
        return ((pooling, layer) for pooling in self.poolings for layer in self.layers)
