"""The unembedding at the positions that are needed only."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from accelerate.utils import align_module_device


@contextmanager
def logits_at(module: Any, positions: torch.Tensor, *, exact: bool = False) -> Iterator[None]:
    """Within the block, the model's logits are [n, vocab] at these positions alone, counted over the whole batch; its
    own head, scaling and soft-cap are applied as usual. The unembedding is a fifth of a small model's work, and most
    positions do not need it.

    exact: logits in float32, of 16-bit weights too. A bfloat16 logit near 15 has steps of 1/16: labels would tie.
    """
    head = module.get_output_embeddings()

    def pick(_: Any, arguments: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        states = arguments[0]
        return (states.reshape(-1, states.shape[-1])[positions.to(states.device)], *arguments[1:])

    handles = [head.register_forward_pre_hook(pick)]
    if exact and type(head) is torch.nn.Linear and head.weight.dtype != torch.float32:
        handles.append(head.register_forward_hook(float32_linear))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def float32_linear(head: torch.nn.Linear, arguments: tuple[torch.Tensor, ...], output: torch.Tensor) -> torch.Tensor:
    """The output of a linear layer in float32, for a forward hook."""
    return float32_product(head, arguments[0], output)


def float32_product(head: torch.nn.Linear, states: torch.Tensor, rounded: torch.Tensor | None = None) -> torch.Tensor:
    """[n, hidden] → [n, vocab] float32. rounded: what the layer itself gives for these states, where it is known.

    GPUs can write it so. CPUs sum 16-bit products in float32 too, but round when they write; so a second product that
    starts from the first one's negative gives what rounding took away, and the two hold 16 bits of each logit (22 in
    float16). No copy of the weights: a fifth to a half of the time of multiplying them in float32.
    """
    if head.weight.dtype == torch.float32:
        return head(states) if rounded is None else rounded
    # The weights may be on another device, or on disk while they are not used.
    with align_module_device(head):
        return _float32_product(head, states.to(head.weight.device), rounded)


def _float32_product(head: torch.nn.Linear, states: torch.Tensor, rounded: torch.Tensor | None) -> torch.Tensor:
    if states.is_cuda:
        logits = torch.mm(states, head.weight.T, out_dtype=torch.float32)
    else:
        if rounded is None or head.bias is not None:
            rounded = states @ head.weight.T
        logits = rounded.float().add_(torch.addmm(rounded, states, head.weight.T, beta=-1))
    return logits if head.bias is None else logits + head.bias.float()
