"""Which MLP neurons fire on an item's own tokens: hooks on each block's activation function, counted while it runs.

A neuron fires where its activation function gives more than 0 (Tang et al. 2024); in a gated MLP that is the gate's.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from spillover.core.errors import ModelError
from spillover.models.hidden_states import blocks

ACTIVATION_MODULES = ("transformers.activations", "torch.nn.modules.activation")
ACTIVATION_NAMES = ("act", "act_fn", "activation_fn", "gelu_impl")


def activations(module: Any) -> list[nn.Module]:
    """The activation function of each block's MLP. ModelError, saying what was found, where a block has none or several
    (a mixture of experts), or where blocks share one."""
    found = []
    for number, block in enumerate(blocks(module)):
        own = [child for name, child in block.named_modules() if _is_activation(name, child)]
        if len(own) != 1:
            raise ModelError(
                f"{type(block).__name__} {number} has {len(own)} activation functions, where one is looked for",
                hint="neurons are counted in models with one MLP a block",
            )
        found += own
    if len({id(own) for own in found}) < len(found):
        raise ModelError("its blocks share one activation function", hint="its neurons cannot be told apart by hooks")
    return found


def _is_activation(name: str, child: nn.Module) -> bool:
    if any(True for _ in child.children()) and type(child).__module__ not in ACTIVATION_MODULES:
        return False
    return type(child).__module__ in ACTIVATION_MODULES or name.rpartition(".")[2] in ACTIVATION_NAMES


def unsupported_reason(module: Any) -> str | None:
    """Why a model's neurons cannot be counted; None when they can."""
    try:
        activations(module)
    except ModelError as error:
        return error.message
    return None


@dataclass
class Firing:
    """bodies: per item, the positions of its own tokens, counted over the whole batch."""

    bodies: Sequence[range]
    layers: list[Tensor] = field(default_factory=list)

    def __call__(self, _: nn.Module, __: Any, output: Tensor) -> None:
        flat = output.detach().reshape(-1, output.shape[-1])
        self.layers.append(torch.stack([(flat[own.start : own.stop] > 0).sum(dim=0) for own in self.bodies]))

    def counts(self) -> NDArray[np.uint16]:
        """[items, layers, neurons]: on how many of its own tokens each neuron fires."""
        return torch.stack(self.layers, dim=1).cpu().numpy().astype(np.uint16)


@contextmanager
def firing(module: Any, bodies: Sequence[range]) -> Iterator[Firing]:
    """Within the block, one forward pass is counted. ModelError where `unsupported_reason` has a reason."""
    counter = Firing(bodies)
    handles = [own.register_forward_hook(counter) for own in activations(module)]
    try:
        yield counter
    finally:
        for handle in handles:
            handle.remove()
