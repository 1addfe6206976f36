"""Contrastive alignment: the two questions of a pair are drawn together in one layer, away from the batch's others.

1. Each question is read by itself, as plain text: a pair's prompt without its last line, which is the instruction, and
   its completion. Pairs within one language (replay, arm `labelled`) have nothing to align.
2. Its state is the mean of the layer's residual stream over its tokens, special tokens left out.
3. InfoNCE over the batch, in both directions, of cosine similarities at temperature 0.1, alternated with the
   translation loss: Liu and Niehues 2025 (arXiv 2502.14830), in whose loss only one direction counts. A text that
   several pairs share is nobody's negative.

States are computed in parts and again for the gradient, so that memory does not grow with the batch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize
from torch.utils.checkpoint import checkpoint

from spillover.core.config import TrainConfig
from spillover.core.errors import ConfigError, DataError
from spillover.core.types import TrainingPair
from spillover.models.adapter_layers import changed_layers, layers_text
from spillover.models.blocks import residual_modules
from spillover.models.fast.packed_attention import packed
from spillover.models.load import Model
from spillover.stages.train.packing import Part, Text, into_parts
from spillover.stages.train.tokenize import IGNORE

TEMPERATURE = 0.1
LEAST_PAIRS = 2


@dataclass(frozen=True)
class Tokens:
    """One text. ids: [tokens]. counted: [tokens], whether it belongs to the text, as special tokens do not."""

    ids: Tensor
    counted: Tensor


@dataclass(frozen=True)
class Alignment:
    """What is aligned where. layer: of the residual stream, as the probe counts, 1 after the first block. texts: by a
    pair's number, its question in the source language and in the target's."""

    layer: int
    texts: Mapping[int, tuple[Tokens, Tokens]]

    def pairs_in(self, numbers: Sequence[int]) -> list[int]:
        """Those of a batch's pairs that are aligned; none where there are too few."""
        parallel = [number for number in numbers if number in self.texts]
        return parallel if len(parallel) >= LEAST_PAIRS else []

    def loss(self, model: Any, numbers: Sequence[int], part_tokens: int, *, is_packed: bool) -> Tensor:
        """The mean InfoNCE loss of these pairs, in nats, with gradients for the adapter below the layer."""
        sides = [[self.texts[number][side] for number in numbers] for side in (0, 1)]
        tokens = [text for side in sides for text in side]
        states = self._states(model, tokens, part_tokens, is_packed=is_packed)
        return info_nce(states[: len(numbers)], states[len(numbers) :], _shared(sides).to(states.device))

    def _states(self, model: Any, tokens: Sequence[Tokens], part_tokens: int, *, is_packed: bool) -> Tensor:
        """[n, hidden] float32 mean states of n texts."""
        device = next(model.parameters()).device
        # The label of a token is the number of its text: what a part supervises is then what is pooled.
        texts = [
            Text(text.ids.to(device), torch.where(text.counted, number, IGNORE).to(device), number)
            for number, text in enumerate(tokens)
        ]
        texts.sort(key=lambda text: (-len(text), text.number))
        parts = list(into_parts(texts, part_tokens, packed=is_packed))
        pooled = torch.cat([checkpoint(self._pooled, model, part, use_reentrant=False) for part in parts])
        order = torch.tensor([number for part in parts for number in part.numbers], device=pooled.device)
        return pooled[order.argsort()]

    def _pooled(self, model: Any, part: Part) -> Tensor:
        """[texts of the part, hidden] float32."""
        options = {"position_ids": part.positions} if part.segments else {}
        with packed(part.segments):
            states = states_at(model, self.layer, input_ids=part.ids, use_cache=False, **options)
        own = states[(part.supervised + 1).to(states.device)].float()
        place = {number: row for row, number in enumerate(part.numbers)}
        rows = torch.tensor([place[number] for number in part.targets.tolist()], device=own.device)
        sums = torch.zeros(len(part.numbers), own.shape[1], device=own.device).index_add(0, rows, own)
        return sums / torch.bincount(rows, minlength=len(part.numbers))[:, None]


def info_nce(source: Tensor, target: Tensor, shared: Tensor) -> Tensor:
    """The mean loss of finding each row's counterpart among the other side's rows, in nats, over both directions.

    source, target: [n, hidden]; row i of one belongs to row i of the other. shared: [n, n], which other rows hold the
    same text, and are left out.
    """
    similarities = normalize(source, dim=-1) @ normalize(target, dim=-1).T / TEMPERATURE
    similarities = similarities.masked_fill(shared, -torch.inf)
    own = torch.arange(len(source), device=source.device)
    return (cross_entropy(similarities, own) + cross_entropy(similarities.T, own)) / 2


def _shared(sides: Sequence[Sequence[Tokens]]) -> Tensor:
    """[n, n], whether two different pairs have a text in common."""
    shared = torch.zeros(len(sides[0]), len(sides[0]), dtype=torch.bool)
    for side in sides:
        texts = [tuple(text.ids.tolist()) for text in side]
        shared |= torch.tensor([[one == other for other in texts] for one in texts])
    return shared.fill_diagonal_(False)


class _Reached(Exception):
    """The forward pass is at the layer: what follows is not needed."""


def states_at(module: Any, layer: int, **inputs: Any) -> Tensor:
    """[t, hidden] residual stream at a layer, with its gradient; nothing behind it is computed."""
    caught: list[Tensor] = []

    def stop(_: Any, positional: tuple[Any, ...], named: dict[str, Any]) -> None:
        caught.append(positional[0] if positional else named["hidden_states"])
        raise _Reached

    handle = residual_modules(module)[layer].register_forward_pre_hook(stop, with_kwargs=True)
    try:
        module(**inputs)
    except _Reached:
        pass
    finally:
        handle.remove()
    return caught[0].reshape(-1, caught[0].shape[-1])


def open_alignment(
    base: Model, module: Any, pairs: Sequence[TrainingPair], config: TrainConfig, world_size: int
) -> Alignment | None:
    """What `config.align` asks for; None where it is off. module: the base with its adapter.

    ConfigError for a layer that the model does not have or that nothing below can move, and for several processes.
    DataError where no two pairs are of two languages.
    """
    layer = config.align
    if layer is None:
        return None
    if layer > base.layers:
        raise ConfigError(
            f"train.align: {layer}: {base.ref.name} has layers 1 to {base.layers}", hint="one of the middle"
        )
    adapted = [*changed_layers(module)]
    if min(adapted) >= layer:
        raise ConfigError(
            f"train.align: {layer}: no adapter below it, only in layers {layers_text(adapted)} (from 0)",
            hint="a higher train.align, or other train.layers",
        )
    if world_size > 1:
        raise ConfigError(
            f"train.align: one process alone, not {world_size}: each would contrast its own share of the batch",
            hint="start it without accelerate, or --set train.align=null",
        )
    texts = _texts(base, pairs, min(config.max_tokens, base.context))
    if len(texts) < LEAST_PAIRS:
        raise DataError(
            f"train.align: {len(texts)} of {len(pairs)} training pairs are of two languages",
            hint="pairs with a question in two languages, or --set train.align=null",
        )
    return Alignment(layer, texts)


def _texts(base: Model, pairs: Sequence[TrainingPair], limit: int) -> dict[int, tuple[Tokens, Tokens]]:
    numbers = [number for number, pair in enumerate(pairs) if pair.source != pair.target]
    sides = [_tokens(base, [text(pairs[number]) for number in numbers], limit) for text in (_source, _target)]
    return {
        number: (source, target)
        for number, source, target in zip(numbers, *sides, strict=True)
        if source.counted.any() and target.counted.any()
    }


def _source(pair: TrainingPair) -> str:
    return pair.question


def _target(pair: TrainingPair) -> str:
    return pair.completion.strip()


def _tokens(base: Model, texts: Sequence[str], limit: int) -> list[Tokens]:
    if not texts:
        return []
    encoded = base.tokenizer(texts, return_special_tokens_mask=True)
    return [
        Tokens(torch.tensor(ids[:limit]), torch.tensor(special[:limit]) == 0)
        for ids, special in zip(encoded["input_ids"], encoded["special_tokens_mask"], strict=True)
    ]
