"""Which MLP neurons fire on an item's own tokens: counted by hooks on each block's activation function.

A neuron fires where its activation is above 0 (Tang et al. 2024); in a gated MLP that is the gate's.
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
from spillover.models.blocks import blocks

ACTIVATION_MODULES = ("transformers.activations", "torch.nn.modules.activation")
ACTIVATION_NAMES = ("act", "act_fn", "activation_fn", "gelu_impl")


def activations(module: Any) -> list[nn.Module]:
    """The activation function of each block's MLP. ModelError where a block has none or several (a mixture of experts),
    or where blocks share one."""
    functions = []
    for number, block in enumerate(blocks(module)):
        in_block = [child for name, child in block.named_modules() if _is_activation(name, child)]
        if len(in_block) != 1:
            raise ModelError(
                f"{type(block).__name__} {number} has {len(in_block)} activation functions, expected one",
                hint="neurons are counted in models with one MLP per block",
            )
        functions += in_block
    if len({id(function) for function in functions}) < len(functions):
        raise ModelError("its blocks share one activation function", hint="hooks cannot distinguish its blocks")
    return functions


def _is_activation(name: str, child: nn.Module) -> bool:
    if next(child.children(), None) is not None and type(child).__module__ not in ACTIVATION_MODULES:
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
    """Counts firings in each block. bodies: per item, the positions of its own tokens in the whole batch. layers: of
    each block so far, [items, neurons]."""

    bodies: Sequence[range]
    layers: list[Tensor] = field(default_factory=list)

    def __call__(self, _: nn.Module, __: Any, output: Tensor) -> None:
        """A forward hook: count the firings of one block."""
        flat = output.detach().reshape(-1, output.shape[-1])
        self.layers.append(torch.stack([(flat[body.start : body.stop] > 0).sum(dim=0) for body in self.bodies]))

    def counts(self) -> NDArray[np.uint16]:
        """[items, layers, neurons]: on how many of the item's own tokens each neuron fires."""
        layers = [layer.to(self.layers[0].device) for layer in self.layers]
        return torch.stack(layers, dim=1).cpu().numpy().astype(np.uint16)


@contextmanager
def firing(module: Any, bodies: Sequence[range]) -> Iterator[Firing]:
    """Within the context, one forward pass is counted. ModelError where `unsupported_reason` gives a reason."""
    counter = Firing(bodies)
    handles = [function.register_forward_hook(counter) for function in activations(module)]
    try:
        yield counter
    finally:
        for handle in handles:
            handle.remove()
