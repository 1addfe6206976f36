"""Which engine scores a model: the reference engine on a torch model, or one that asks servers, or workers of Ray."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import Any, Protocol, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

from spillover.core.config import EvaluateConfig
from spillover.core.errors import ConfigError
from spillover.core.types import LabelScores, Prompt, ScoredBatch, Task
from spillover.models.batching import Plan
from spillover.models.chat import open_chat
from spillover.models.load import Model
from spillover.models.local import LocalEngine, open_local_engine
from spillover.models.ray_engine import RayEngine
from spillover.models.remote_model import RemoteModel
from spillover.models.served_model import ServedModel
from spillover.models.server import ServerEngine

Value = TypeVar("Value", bound=np.generic)
Key = TypeVar("Key", bound=Hashable)
AnyModel = Model | ServedModel | RemoteModel


class Engine(Protocol):
    """Anything that scores label words and returns hidden states of the same pass."""

    def plan(self, prompts: Sequence[Prompt]) -> Plan:
        """What will be computed for these prompts, which share a prefix."""

    def tokens_per_second(self, plan: Plan) -> float:
        """Measured on a small batch."""

    @property
    def facts(self) -> Mapping[str, Any]:
        """What a manifest records of how it scored, after the first item; empty where nothing is to be said."""

    def score(self, plan: Plan, skip: frozenset[int] = frozenset(), *, states: bool = False) -> Iterator[ScoredBatch]:
        """Scores by batch of every item whose number is not in `skip`."""


@overload
def open_engine(model: Model, config: EvaluateConfig | None = None) -> LocalEngine: ...


@overload
def open_engine(model: AnyModel, config: EvaluateConfig | None = None) -> Engine: ...


def open_engine(model: AnyModel, config: EvaluateConfig | None = None) -> Engine:
    """An engine for a model: its token budget, prefix cache, label rule and chat form are those of `config`. Errors as
    `open_chat`, and ConfigError for a rule that a server cannot follow."""
    config = config or EvaluateConfig()
    if isinstance(model, ServedModel):
        if config.rule == "paper":
            raise ConfigError(
                "evaluate.rule: paper sums the probabilities of hundreds of tokens, more than a server gives",
                hint="--rule exact",
            )
        chat = open_chat(model, config)
        return ServerEngine(model, config.batch_tokens, prefix_first=config.prefix_cache, chat=chat)
    if isinstance(model, RemoteModel):
        return RayEngine(model, config)
    return open_local_engine(model, config)


def score_plans(
    engine: Engine, plans: Mapping[Key, Plan], skip: Mapping[Key, frozenset[int]]
) -> Iterator[tuple[Key, ScoredBatch]]:
    """(key of its plan, batch) of several plans, without the items whose numbers are in `skip`: one plan after the
    other, or, by several workers, several side by side in the order in which batches come."""
    if isinstance(engine, RayEngine):
        yield from engine.score_plans(plans, skip)
        return
    for key, plan in plans.items():
        for batch in engine.score(plan, skip=skip.get(key, frozenset())):
            yield key, batch


def label_scores(task: Task, prompts: Sequence[Prompt], batches: Sequence[ScoredBatch]) -> LabelScores:
    """The scores of batches in the order of the prompts; those of further prompts are left out."""
    n_labels = len(task.labels)
    index = np.concatenate([batch.index for batch in batches])
    order = np.argsort(index)[: len(prompts)]
    return LabelScores(
        language=prompts[0].language,
        labels=task.labels,
        example_ids=tuple(prompt.example_id for prompt in prompts),
        gold=np.array([task.labels.index(prompt.gold or "") for prompt in prompts], dtype=np.int64),
        logprobs=_widened(np.concatenate([batch.logprobs for batch in batches])[order], n_labels, -np.inf),
        tokens=np.concatenate([batch.tokens for batch in batches])[order],
        label_tokens=_widened(np.concatenate([batch.label_tokens for batch in batches])[order], n_labels, 0),
        content=tuple(prompt.content for prompt in prompts) if all(prompt.content for prompt in prompts) else (),
        kind=task.kind,
        length=task.length,
        answer_bytes=_answer_bytes(prompts, n_labels) if task.kind != "labels" else None,
        clusters=tuple(prompt.cluster for prompt in prompts if prompt.cluster is not None),
        borrowed_wording=task.wordings[language].borrowing
        if (language := prompts[0].wording_language) in task.wordings
        else "",
    )


def _widened(values: NDArray[Value], n_labels: int, empty: float) -> NDArray[Value]:
    """[n, labels] from [n, the most answers that an item of these has], filled up with `empty`."""
    return np.pad(values, ((0, 0), (0, n_labels - values.shape[1])), constant_values=empty)


def _answer_bytes(prompts: Sequence[Prompt], n_labels: int) -> NDArray[np.int32]:
    """[n, labels] UTF-8 length of each answer, without the blank before it; 0 beyond an item's answers."""
    lengths = np.zeros((len(prompts), n_labels), dtype=np.int32)
    for row, prompt in zip(lengths, prompts, strict=True):
        row[: len(prompt.answers)] = [len(answer.lstrip().encode()) for answer in prompt.answers]
    return lengths
