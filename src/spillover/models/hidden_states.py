"""Hidden states of a forward pass, pooled layer by layer while it runs: no layer is ever kept whole.

1. Hooks before every block and before the final norm see the residual stream: layer 0 is the embedding, layer i what
   block i left. None of them is normed, the last one neither (transformers' own last hidden state is, in most models).
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

FINAL_NORMS = ("norm", "final_layernorm", "ln_f", "final_layer_norm", "norm_f")


def final_norm(module: Any) -> nn.Module:
    """The norm between the last block and the unembedding. ModelError when it is not found."""
    decoder = module.get_decoder()
    found = next((norm for name in FINAL_NORMS if (norm := getattr(decoder, name, None)) is not None), None)
    if not isinstance(found, nn.Module):
        raise ModelError(
            f"{type(decoder).__name__}: no final norm found, so its states cannot be read",
            hint=f"looked for {', '.join(FINAL_NORMS)}; report this model",
        )
    return found


def blocks(module: Any) -> list[nn.Module]:
    """The model's blocks, first to last. ModelError when they are not a list of the length that its config names."""
    decoder, count = module.get_decoder(), int(module.config.get_text_config().num_hidden_layers)
    for child in decoder.children():
        if isinstance(child, nn.ModuleList) and len(child) == count:
            return list(child)
    raise ModelError(f"{type(decoder).__name__}: no list of its {count} blocks found", hint="report this model")


@contextmanager
def residuals(module: Any, see: Callable[[Tensor], None]) -> Iterator[None]:
    """Within the block, `see` gets the residual stream of a forward pass, [t, hidden], once for the embedding and once
    after each block, in order."""

    def hook(_: nn.Module, positional: tuple[Any, ...], named: dict[str, Any]) -> None:
        states = positional[0] if positional else named["hidden_states"]
        see(states.detach().reshape(-1, states.shape[-1]))

    places = [*blocks(module), final_norm(module)]
    handles = [place.register_forward_pre_hook(hook, with_kwargs=True) for place in places]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@dataclass
class PrefixSums:
    """The residuals of a shared prefix, summed over its tokens: one [hidden] float32 per layer."""

    layers: list[Tensor] = field(default_factory=list)

    def __call__(self, states: Tensor) -> None:
        self.layers.append(states.float().sum(dim=0))


@dataclass
class Pooling:
    """Pools each layer it is shown. All positions count over the whole batch.

    bodies: per item, its own tokens. texts: per item, all tokens of its prompt that stand in this batch. nodes: where
    label tokens stand, item by item. lengths: tokens of each whole prompt. prefix: what is not in this batch.
    """

    bodies: Sequence[range]
    texts: Sequence[range]
    nodes: Sequence[int]
    lengths: Sequence[int]
    prefix: PrefixSums | None
    found: list[tuple[Tensor, ...]] = field(default_factory=list)

    def __call__(self, states: Tensor) -> None:
        means, weighted, wholes = [], [], []
        for body, text, length in zip(self.bodies, self.texts, self.lengths, strict=True):
            own = states[body.start : body.stop].float()
            weights = torch.arange(1, len(own) + 1, device=own.device, dtype=own.dtype)
            total = own.sum(dim=0)
            means.append(total / len(own))
            weighted.append(weights @ own / weights.sum())
            whole = total + states[text.start : body.start].float().sum(dim=0)
            if self.prefix is not None:
                whole = whole + self.prefix.layers[len(self.found)]
            wholes.append(whole / length)
        last = states[[body[-1] for body in self.bodies]].float()
        nodes = states[list(self.nodes)].float()
        self.found.append((last, torch.stack(means), torch.stack(wholes), torch.stack(weighted), nodes))

    def states(self, layers: int) -> States:
        """All layers together. ModelError when the pass did not show as many as the model has."""
        if len(self.found) != layers + 1:
            raise ModelError(
                f"the model showed {len(self.found)} of its {layers + 1} hidden states", hint="report this model"
            )
        return States(*(torch.stack(parts, dim=1).cpu().numpy() for parts in zip(*self.found, strict=True)))


def pooling(
    items: Sequence[Item],
    places: Sequence[Sequence[Sequence[int]]],
    width: Sequence[int],
    prefix: PrefixSums | None,
) -> Pooling:
    """What to read of a batch. places: per item and label, the positions that predict the label's tokens. width: per
    item, how many tokens of its prompt stand in the batch."""
    ends = [own[0][0] for own in places]
    nodes: list[int] = []
    for item, own in zip(items, places, strict=True):
        at = {node: place for path, row in zip(item.tree.paths, own, strict=True) for node, place in zip(path, row)}  # noqa: B905
        nodes += [at[node] for node in range(len(item.tree.tokens))]
    return Pooling(
        bodies=[range(end + 1 - len(item.body), end + 1) for end, item in zip(ends, items, strict=True)],
        texts=[range(end + 1 - count, end + 1) for end, count in zip(ends, width, strict=True)],
        nodes=nodes,
        lengths=[item.context for item in items],
        prefix=prefix,
    )
