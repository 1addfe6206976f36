"""A LoRA layer's arithmetic in the precision of its base, with the adapter's own weights and gradients in float32.

peft casts a layer's whole input to the adapter's float32, adds in float32 and casts back: passes over memory that cost
as much as the adapter itself. Here the small matrices are cast instead, as autocast would, and the update is added to
the base's output in place. Same formula, same parameters; peft still owns them, saves them and merges them.
"""

from __future__ import annotations

from types import MethodType
from typing import Any

import torch
from peft.tuners.lora import Linear
from torch import Tensor
from torch.nn.functional import linear

ADAPTER = "default"


class LowRank(torch.autograd.Function):
    """x Wᵀ + bias + scale (x Aᵀ) Bᵀ for x [..., in] with W and bias frozen, A [rank, in], B [out, rank]."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, a: Tensor, b: Tensor, scale: float) -> Tensor:
        """[..., out] in the precision of `x`."""
        flat = x.reshape(-1, x.shape[-1])
        narrow_a, narrow_b = a.to(x.dtype), b.to(x.dtype)
        inner = flat @ narrow_a.T
        output = linear(flat, weight, bias).addmm_(inner, narrow_b.T, alpha=scale)
        ctx.save_for_backward(flat, weight, inner, narrow_a, narrow_b)
        ctx.scale, ctx.kind = scale, a.dtype
        return output.view(*x.shape[:-1], -1)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of `x`, `a` and `b`, those of the adapter in its own precision; None for what is frozen."""
        flat, weight, inner, a, b = ctx.saved_tensors
        out = gradients[0].reshape(-1, weight.shape[0])
        by_inner = (out @ b).mul_(ctx.scale)
        by_a = (by_inner.T @ flat).to(ctx.kind)
        by_b = (out.T @ inner).to(ctx.kind).mul_(ctx.scale)
        by_x = None
        if ctx.needs_input_grad[0]:
            by_x = (out @ weight).addmm_(by_inner, a).view(*gradients[0].shape[:-1], -1)
        return by_x, None, None, by_a, by_b, None


def compute_in_base_precision(module: Any) -> int:
    """Let every plain LoRA layer of a peft model compute as `LowRank` does; how many there are. Layers with dropout,
    another method than LoRA, or a quantised base keep peft's own arithmetic."""
    changed = 0
    for layer in module.modules():
        if type(layer) is Linear and _is_plain(layer):
            layer.forward = MethodType(_forward, layer)
            changed += 1
    return changed


def _is_plain(layer: Any) -> bool:
    base = layer.get_base_layer()
    return (
        type(base) is torch.nn.Linear
        and not base.weight.requires_grad
        and list(layer.lora_A) == [ADAPTER]
        and not layer.lora_variant
        and not layer.lora_bias[ADAPTER]
        and isinstance(layer.lora_dropout[ADAPTER], torch.nn.Identity)
    )


def _forward(layer: Any, x: Tensor) -> Tensor:
    if layer.disable_adapters or layer.merged:
        return type(layer).forward(layer, x)  # type: ignore[no-any-return]
    base = layer.get_base_layer()
    a, b = layer.lora_A[ADAPTER].weight, layer.lora_B[ADAPTER].weight
    return LowRank.apply(x, base.weight, base.bias, a, b, layer.scaling[ADAPTER])  # type: ignore[no-any-return, no-untyped-call]
