"""The engine for models that workers of Ray have loaded: the local engine, on each of them.

1. A worker plans: the batches are those of one process with as many threads as the worker has.
2. Workers score whole batches (`shards`), several plans side by side; each batch is handed on when it is there.
3. A worker that dies is started again by Ray, and scores its shard anew: nothing of it was handed on.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from spillover.core.config import EvaluateConfig
from spillover.core.errors import ConfigError
from spillover.core.types import Prompt, ScoredBatch
from spillover.models.batching import Plan
from spillover.models.remote_model import RemoteModel, WorkerPool
from spillover.models.shards import Shards

Key = TypeVar("Key", bound=Hashable)

# A worker has its next shard while this one is on its way back.
SHARDS_AHEAD = 2


class RayEngine:
    """Scores label words, or own answers, on workers; the scores are those of the local engine, byte by byte."""

    def __init__(self, model: RemoteModel, config: EvaluateConfig) -> None:
        assert model.pool is not None
        self.model, self.config = model, config
        self.pool: WorkerPool = model.pool
        self.facts: dict[str, Any] = {}

    def plan(self, prompts: Sequence[Prompt]) -> Plan:
        """Tokens and batches for prompts that are scored together, as the local engine's."""
        plan: Plan = self.pool.ask("plan", self.config, tuple(prompts))
        return plan

    def tokens_per_second(self, plan: Plan) -> float:
        """Computed tokens per second of all workers, measured on one of them."""
        return float(self.pool.ask("tokens_per_second", self.config, plan)) * len(self.pool.workers)

    def score(self, plan: Plan, skip: frozenset[int] = frozenset(), *, states: bool = False) -> Iterator[ScoredBatch]:
        """Scores by batch, in the order in which they come. Errors as the local engine's; RunError when a worker dies
        again and again, or Ray is gone."""
        if states:
            raise ConfigError("workers of Ray give no hidden states", hint="probe without --on ray")
        for _, batch in self.score_plans({"": plan}, {"": skip}):
            yield batch

    def score_plans(
        self, plans: Mapping[Key, Plan], skip: Mapping[Key, frozenset[int]]
    ) -> Iterator[tuple[Key, ScoredBatch]]:
        """(key of its plan, batch) of several plans side by side, as they come. Errors as `score`."""
        shards = Shards(plans, skip, self.model.batches_at_once)
        stored = {key: self.pool.store(plan) for key, plan in plans.items()}
        running: dict[Any, tuple[Any, Key]] = {}

        def give(worker: Any, previous: Key | None) -> Key | None:
            shard = shards.next(previous)
            if shard is None:
                return None
            key, numbers = shard
            running[worker.score.remote(self.pool.setup, self.config, stored[key], numbers)] = (worker, key)
            return key

        latest: list[Key | None] = [None] * len(self.pool.workers)
        for _ in range(SHARDS_AHEAD):
            latest = [give(worker, key) for worker, key in zip(self.pool.workers, latest, strict=True)]
        while running:
            for done in self.pool.session.wait(list(running)):
                worker, key = running.pop(done)
                batches = self.pool.session.result(done)
                give(worker, key)
                for batch in batches:
                    yield key, batch
