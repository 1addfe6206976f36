"""Folds of a benchmark's items, for cross-fitting: tune on the questions of one part, score another, and exchange them.

An item's fold is a hash of its id alone, so it is the same one in every language, every run and every seed. All of a
cluster are in one fold.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from spillover.core.types import Example


@dataclass(frozen=True)
class Fold:
    """Part `number`, from 1, of `count` parts of nearly equal size."""

    number: int
    count: int

    def has(self, example: Example) -> bool:
        """Whether the item is in this fold."""
        # Salted, so that a share by the hash of the bare id (held-out items) is as large in every fold.
        name = f"fold {example.id}" if example.cluster is None else f"fold of cluster {example.cluster}"
        return int(hash_position(name) * self.count) + 1 == self.number

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"


def fold_of(text: str) -> Fold:
    """The fold that `text` names, as in 1/2. The config checks its form."""
    number, count = text.split("/")
    return Fold(int(number), int(count))


def hash_position(text: str) -> float:
    """[0, 1): where the hash of a text falls, uniform over texts."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:6], "big") / 2**48
