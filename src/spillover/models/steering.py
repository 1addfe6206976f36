"""Hidden states that are changed while a forward pass runs.

Hidden state l is the input of block l, and so the output of block l - 1 (blocks count from 0). 0 is the embedding; the
last one, with the number of the blocks, is the input of the final norm. `hidden_states.residuals` reads states by the
same numbers, and reads them as they are after the change: a vector that was read at l is added at l, not a block later.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from spillover.core.errors import ModelError
from spillover.models.batching import Item, Plan
from spillover.models.blocks import residual_modules
from spillover.models.hidden_states import residuals
from spillover.models.intervention import Intervention


@dataclass(frozen=True)
class StateChange:
    """A forward pre-hook on the module that reads a hidden state h: h + strength · v at some positions, or
    h + strength · (h V). change: v [hidden] or V [hidden, hidden]. positions: [n], counted over the whole batch."""

    change: Tensor
    strength: float
    positions: Tensor

    def __call__(
        self, _: nn.Module, positional: tuple[Any, ...], named: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The module's arguments with the states changed; the tensor that other modules may hold stays as it is."""
        states = positional[0] if positional else named["hidden_states"]
        changed = self.apply(states)
        return ((changed, *positional[1:]), named) if positional else (positional, named | {"hidden_states": changed})

    def apply(self, states: Tensor) -> Tensor:
        """[..., hidden] → the same shape and dtype; computed in float32."""
        flat = states.reshape(-1, states.shape[-1]).clone()
        positions, change = self.positions.to(flat.device), self.change.to(flat.device)
        chosen = flat[positions].float()
        added = chosen @ change if change.dim() == 2 else change
        flat[positions] = (chosen + self.strength * added).to(flat.dtype)
        return flat.view(states.shape)


@dataclass
class FiniteCheck:
    """Reads every hidden state of a pass, in order. ModelError names the first non-finite one."""

    intervention: Intervention
    layer: int = field(default=0, init=False)

    def __call__(self, states: Tensor) -> None:
        """Check the next layer, [t, hidden]."""
        if not torch.isfinite(states).all():
            strength = self.intervention.description.strength
            raise ModelError(
                f"intervention {self.intervention.name}: with strength {strength:g} hidden states are non-finite at "
                f"layer {self.layer}",
                hint="a smaller steer.strength, or --dtype float32",
            )
        self.layer += 1


@contextmanager
def steered(
    module: Any, intervention: Intervention, changes: Mapping[int, Tensor], positions: Tensor
) -> Iterator[None]:
    """Within the context, forward passes have the changes (by layer) of an intervention at these positions. ModelError
    where that makes states non-finite."""
    modules = residual_modules(module)
    with ExitStack() as hooks:
        for layer, tensor in changes.items():
            hook = StateChange(tensor, intervention.description.strength, positions)
            hooks.callback(modules[layer].register_forward_pre_hook(hook, with_kwargs=True).remove)
        hooks.enter_context(residuals(module, FiniteCheck(intervention)))
        yield


def steered_tokens(intervention: Intervention, item: Item) -> tuple[int, bool]:
    """(index of the first token of an item's prompt that is changed, whether its label's tokens are changed too)."""
    where = intervention.description.positions
    if where == "last":
        return item.context - 1, False
    return (item.question if where == "question" else 0), True


def steered_prefix(intervention: Intervention, plan: Plan) -> range:
    """The positions of a plan's shared prefix that are changed: the same for all items, whose tokens it shares."""
    length = len(plan.prefix)
    (first,) = {min(length, steered_tokens(intervention, item)[0]) for item in plan.items}
    return range(first, length)


def packed_positions(
    intervention: Intervention, items: Sequence[Item], ends: Sequence[int], nodes: Sequence[int]
) -> list[int]:
    """The changed positions of a packed row of items after their shared prefix. ends, nodes: as in `batching.Row`."""
    positions: list[int] = []
    for item, end, node in zip(items, ends, nodes, strict=True):
        first, labels = steered_tokens(intervention, item)
        in_body = min(item.context - first, len(item.body))
        positions += range(end + 1 - in_body, end + 1)
        if labels:
            positions += range(node, node + len(item.tree.tokens))
    return positions


def whole_positions(intervention: Intervention, items: Sequence[Item], width: int) -> list[int]:
    """The changed positions of whole texts, a row of `width` for each label of each item."""
    positions: list[int] = []
    start = 0
    for item in items:
        first, labels = steered_tokens(intervention, item)
        for label in item.labels:
            positions += range(start + first, start + item.context + (len(label) if labels else 0))
            start += width
    return positions
