"""Which worker scores what: whole batches, by plan, so that shards have the bytes of one process.

A plan is one language: its items share a prefix that each worker computes once. So a worker stays with a plan until
nothing is left of it, then takes the largest one that nobody has begun, and at the end helps with the one that has most
left.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Mapping
from typing import Generic, TypeVar

from spillover.models.batching import Plan

Key = TypeVar("Key", bound=Hashable)


class Shards(Generic[Key]):
    """What is left of some plans, without the items whose numbers are in `skip`. batches: how many a shard has."""

    def __init__(self, plans: Mapping[Key, Plan], skip: Mapping[Key, frozenset[int]], batches: int = 1) -> None:
        self._plans = plans
        self._batches = batches
        self._begun: set[Key] = set()
        self._left = {
            key: deque(
                rest for batch in plan.batches if (rest := tuple(i for i in batch if i not in skip.get(key, ())))
            )
            for key, plan in plans.items()
        }

    def next(self, previous: Key | None = None) -> tuple[Key, tuple[int, ...]] | None:
        """(a plan's key, the numbers of the items of its next batches) for a worker whose last shard was of the plan
        `previous`; None when nothing is left."""
        key = previous if previous is not None and self._left[previous] else self._largest()
        if key is None:
            return None
        self._begun.add(key)
        batches = self._left[key]
        shard = [batches.popleft() for _ in range(min(self._batches, len(batches)))]
        return key, tuple(number for batch in shard for number in batch)

    def _largest(self) -> Key | None:
        """The plan with most tokens left, of those that nobody has begun if there are any."""
        tokens = {
            key: sum(self._plans[key].size(number) for batch in batches for number in batch)
            for key, batches in self._left.items()
            if batches
        }
        fresh = [key for key in tokens if key not in self._begun]
        return max(fresh or list(tokens), key=tokens.__getitem__, default=None)
