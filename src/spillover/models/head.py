"""The unembedding at the positions that are needed, and nowhere else."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

HEAD_SLICE = 1 << 14


@contextmanager
def logits_at(module: Any, places: torch.Tensor, *, exact: bool = False) -> Iterator[None]:
    """Within the block, the model's logits are [n, vocab] at these positions alone, counted over the whole batch; its
    own head, scaling and soft-cap are applied as ever. The unembedding is a fifth of a small model's work, and most
    positions do not need it.

    exact: the unembedding is multiplied in float32. A bfloat16 logit near 15 has steps of 1/16: labels would tie.
    """
    head = module.get_output_embeddings()

    def pick(_: Any, arguments: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        states = arguments[0]
        return (states.reshape(-1, states.shape[-1])[places], *arguments[1:])

    handles = [head.register_forward_pre_hook(pick)]
    if exact and type(head) is torch.nn.Linear and head.weight.dtype != torch.float32:
        handles.append(head.register_forward_hook(float32_linear))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def float32_linear(head: torch.nn.Linear, arguments: tuple[torch.Tensor, ...], _: torch.Tensor) -> torch.Tensor:
    """The output of a linear layer in float32, for a forward hook."""
    return float32_product(head, arguments[0])


def float32_product(head: torch.nn.Linear, states: torch.Tensor) -> torch.Tensor:
    """[n, hidden] → [n, vocab] float32, a slice of the weights at a time: those of a large vocabulary are not copied
    whole."""
    wide = states.float()
    logits = torch.cat([wide @ rows.float().T for rows in torch.split(head.weight, HEAD_SLICE)], dim=-1)
    return logits if head.bias is None else logits + head.bias.float()
