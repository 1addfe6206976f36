"""Hidden states of a forward pass, pooled layer by layer while it runs: no layer's token states are kept.

1. Hooks before every block and before the final norm read the residual stream: layer 0 is the embedding, layer i the
   output of block i. None is normed, the last included (transformers' own last hidden state is, in most models).
2. Each layer is pooled at once, in float32, and dropped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from spillover.core.errors import ModelError
from spillover.core.types import States
from spillover.models.batching import Item
from spillover.models.blocks import residual_modules


@contextmanager
def residuals(module: Any, read: Callable[[Tensor], None]) -> Iterator[None]:
    """Within the context, `read` is called with the residual stream of a forward pass, [t, hidden]: once for the
    embedding and once after each block, in order."""

    def hook(_: nn.Module, positional: tuple[Any, ...], named: dict[str, Any]) -> None:
        states = positional[0] if positional else named["hidden_states"]
        read(states.detach().reshape(-1, states.shape[-1]))

    handles = [child.register_forward_pre_hook(hook, with_kwargs=True) for child in residual_modules(module)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@dataclass
class PrefixSums:
    """The residual stream of a shared prefix, summed over its tokens: one [hidden] float32 per layer."""

    layers: list[Tensor] = field(default_factory=list)

    def __call__(self, states: Tensor) -> None:
        """Add the next layer, [t, hidden]."""
        self.layers.append(states.float().sum(dim=0))


@dataclass
class Pooling:
    """Pools each layer it is called with. All positions are of the whole batch.

    bodies: per item, the tokens after the shared prefix. texts: per item, all tokens of its prompt that are in this
    batch. nodes: the positions of label tokens, item by item. lengths: tokens of each whole prompt. prefix: the sums
    over the tokens that are not in this batch. layers: what was pooled of each layer so far.
    """

    bodies: Sequence[range]
    texts: Sequence[range]
    nodes: Sequence[int]
    lengths: Sequence[int]
    prefix: PrefixSums | None
    layers: list[tuple[Tensor, ...]] = field(default_factory=list)

    def __call__(self, states: Tensor) -> None:
        """Pool the next layer, [t, hidden]."""
        means, weighted, wholes = [], [], []
        for body, text, length in zip(self.bodies, self.texts, self.lengths, strict=True):
            body_states = states[body.start : body.stop].float()
            weights = torch.arange(1, len(body) + 1, device=states.device, dtype=torch.float32)
            total = body_states.sum(dim=0)
            means.append(total / len(body))
            weighted.append(weights @ body_states / weights.sum())
            whole = total + states[text.start : body.start].float().sum(dim=0)
            if self.prefix is not None:
                whole = whole + self.prefix.layers[len(self.layers)]
            wholes.append(whole / length)
        last = states[[body[-1] for body in self.bodies]].float()
        nodes = states[list(self.nodes)].float()
        self.layers.append((last, torch.stack(means), torch.stack(wholes), torch.stack(weighted), nodes))

    def states(self, layers: int) -> States:
        """The pooled states of all layers. ModelError when the pass had another number of layers than the model."""
        if len(self.layers) != layers + 1:
            raise ModelError(
                f"the forward pass had {len(self.layers)} hidden states, expected {layers + 1}",
                hint="report this model",
            )
        # Layers may be on several devices.
        return States(
            *(
                torch.stack([part.to(parts[0].device) for part in parts], dim=1).cpu().numpy()
                for parts in zip(*self.layers, strict=True)
            )
        )


def pooling(
    items: Sequence[Item],
    places: Sequence[Sequence[Sequence[int]]],
    width: Sequence[int],
    prefix: PrefixSums | None,
) -> Pooling:
    """The positions to pool of a batch. places: per item and label, the positions that predict the label's tokens.
    width: per item, how many tokens of its prompt are in the batch."""
    ends = [by_label[0][0] for by_label in places]
    nodes: list[int] = []
    for item, by_label in zip(items, places, strict=True):
        positions: dict[int, int] = {}
        for path, row in zip(item.tree.paths, by_label, strict=True):
            positions |= zip(path, row)  # noqa: B905
        nodes += [positions[node] for node in range(len(item.tree.tokens))]
    return Pooling(
        bodies=[range(end + 1 - len(item.body), end + 1) for end, item in zip(ends, items, strict=True)],
        texts=[range(end + 1 - count, end + 1) for end, count in zip(ends, width, strict=True)],
        nodes=nodes,
        lengths=[item.context for item in items],
        prefix=prefix,
    )
