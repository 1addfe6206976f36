"""Workers of Ray that have loaded one model, each of them whole, and score shards of it with the local engine."""

from __future__ import annotations

import contextlib
import logging
import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from spillover.core.config import EvaluateConfig, ModelConfig, RayConfig
from spillover.core.errors import ConfigError, ModelError
from spillover.core.ray_session import ray_session
from spillover.core.ray_task import Place, relayed, use_threads
from spillover.core.types import Progress, Prompt, ScoredBatch
from spillover.models.batching import Plan
from spillover.models.fast.workers import worker_count
from spillover.models.load import Model, load_model
from spillover.models.local import LocalEngine, open_local_engine
from spillover.models.remote_model import RemoteModel, WorkerPool

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Setup:
    """What a worker needs to load the model."""

    model: ModelConfig
    threads: int
    place: Place
    messages: Any


class Worker:
    """The actor: a model and its engine. Its calls carry all that they need: after its death it knows nothing of the
    calls before."""

    def __init__(self) -> None:
        # Without arguments: Ray may have lost them when it starts the actor again.
        self._loaded: Model | None = None
        self._opened: tuple[EvaluateConfig, LocalEngine] | None = None

    def _model(self, setup: Setup) -> Model:
        if self._loaded is None:
            setup.place.enter()
            relayed(setup.messages, f"worker on {socket.gethostname()}", logging.WARNING)
            use_threads(setup.threads)
            self._loaded = load_model(**setup.model.model_dump(exclude={"server"}))
        return self._loaded

    def describe(self, setup: Setup) -> RemoteModel:
        """What stands in for the model elsewhere."""
        model = self._model(setup)
        return RemoteModel(
            model.ref,
            model.tokenizer,
            model.generation_config,
            model.intervention,
            str(model.dtype).removeprefix("torch."),
            model.device.type,
            worker_count(model.module, model.device),
        )

    def plan(self, setup: Setup, config: EvaluateConfig, prompts: Sequence[Prompt]) -> Plan:
        """As the local engine's."""
        return self._engine(setup, config).plan(prompts)

    def tokens_per_second(self, setup: Setup, config: EvaluateConfig, plan: Plan) -> float:
        """As the local engine's."""
        return self._engine(setup, config).tokens_per_second(plan)

    def score(self, setup: Setup, config: EvaluateConfig, plan: Plan, numbers: Sequence[int]) -> list[ScoredBatch]:
        """The batches of the items with these numbers."""
        skip = frozenset(range(len(plan.items))) - frozenset(numbers)
        return list(self._engine(setup, config).score(plan, skip))

    def _engine(self, setup: Setup, config: EvaluateConfig) -> LocalEngine:
        if self._opened is None or self._opened[0] != config:
            self._opened = (config, open_local_engine(self._model(setup), config))
        return self._opened[1]


@contextlib.contextmanager
def ray_workers(
    model: ModelConfig, config: RayConfig, place: Place, *, workers: int | None = None, progress: Progress
) -> Iterator[RemoteModel]:
    """A model on so many workers, within the block; as many as there is room for when None.

    ConfigError where there is room for fewer; ModelError where the workers do not compute alike; RunError and
    MissingExtra as `ray_session`, and the errors of `load_model`.
    """
    if model.server:
        raise ConfigError("model.server: a served model is scored by its servers", hint="leave --on ray away")
    with ray_session(progress) as session:
        room = session.room(config)
        if workers is not None and workers > room:
            raise ConfigError(
                f"--workers {workers}: Ray has room for {room} "
                f"with ray.num_cpus {config.num_cpus} and ray.num_gpus {config.num_gpus:g}",
                hint=f"--workers {room}, or less for each",
            )
        kind = session.actor(Worker, config)
        setup = Setup(model, config.num_cpus, place, session.messages)
        handles = [kind.remote() for _ in range(workers or room)]
        log.info("loading %s on %d workers of Ray", model.name, len(handles))
        described: list[RemoteModel] = [session.answer(handle.describe.remote(setup)) for handle in handles]
        computing = {f"{one.dtype} on {one.device}" for one in described}
        if len(computing) > 1 or len({one.ref.fingerprint for one in described}) > 1:
            raise ModelError(
                f"{model.name}: the workers do not compute alike: {', '.join(sorted(computing))}",
                hint="--dtype and --device, and one model for all",
            )
        yield replace(described[0], pool=WorkerPool(session, tuple(handles), setup))
