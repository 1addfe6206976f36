"""A model that workers of Ray have loaded, each of them whole, and what stands in for its weights here."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from spillover.core.types import LOCAL_ENGINE, ModelRef
from spillover.models.fingerprint import vocabulary_key

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from spillover.core.ray_session import RaySession
    from spillover.models.intervention import Intervention


@dataclass(frozen=True)
class WorkerPool:
    """Workers that have loaded the same model, by their handles. setup: the first argument of each of their calls."""

    session: RaySession
    workers: tuple[Any, ...]
    setup: Any

    def ask(self, method: str, *arguments: Any) -> Any:
        """What the first worker answers."""
        return self.session.answer(getattr(self.workers[0], method).remote(self.setup, *arguments))

    def store(self, value: Any) -> Any:
        """A reference to a value, which is sent once to each machine."""
        return self.session.ray.put(value)


@dataclass(frozen=True)
class RemoteModel:
    """A model on workers. dtype: torch's name. device: its type. batches_at_once: how many batches a worker scores at a
    time. pool: the workers; None in what one of them says of itself."""

    ref: ModelRef
    tokenizer: PreTrainedTokenizerBase
    generation_config: Any
    intervention: Intervention | None
    dtype: str
    device: str
    batches_at_once: int
    pool: WorkerPool | None = None

    @cached_property
    def vocabulary(self) -> str:
        """A hash of every token and its id."""
        return vocabulary_key(self.tokenizer)

    @property
    def engine(self) -> str:
        """What computes its scores: on each worker the same as here."""
        return LOCAL_ENGINE
