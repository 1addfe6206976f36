"""Cross-entropy at the supervised positions, a slice of them at a time: all logits together never exist.

The unembedding is frozen, so the gradient of its input can be computed in the forward pass, slice by slice, and only
that is kept. The head's own `forward` is replaced for one pass: the model's "logits" are then the summed loss, computed
inside the model's forward pass, where sharded weights are whole.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

# Logits that exist at once: 64 MiB in float32, or more where that is a few rows of a large vocabulary. A slice reads
# the whole unembedding twice: of 262,144 words, 64 rows at a time take 1.4 times as long as 256.
SLICE_LOGITS = 1 << 24
SLICE_ROWS = 256


class SummedCrossEntropy(torch.autograd.Function):
    """Sum over rows of the natural-log loss of targets [n] given states [n, d] and a frozen unembedding [vocab, d]."""

    @staticmethod
    def forward(
        ctx: Any, states: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor, softcap: float | None
    ) -> Tensor:
        """Scalar float32. The gradient of the states is computed here, slice by slice, while its logits exist."""
        rows = max(SLICE_ROWS, SLICE_LOGITS // weight.shape[0])
        total = torch.zeros((), dtype=torch.float32, device=states.device)
        gradient = torch.empty_like(states) if ctx.needs_input_grad[0] else None
        for start in range(0, len(states), rows):
            target = targets[start : start + rows, None]
            logits = torch.nn.functional.linear(states[start : start + rows], weight, bias).float()
            if softcap is not None:
                logits = logits.div_(softcap).tanh_().mul_(softcap)
            losses = logits.logsumexp(-1, keepdim=True)
            total += (losses - logits.gather(1, target)).sum()
            if gradient is not None:
                slope = 1 - (logits / softcap).square_() if softcap is not None else None
                change = logits.sub_(losses).exp_()
                change.scatter_add_(1, target, change.new_full((), -1.0).expand(target.shape))
                if slope is not None:
                    change.mul_(slope)
                torch.mm(change.to(weight.dtype), weight, out=gradient[start : start + rows])
        ctx.gradient = gradient
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """The gradient of the states that `forward` kept; None for what is frozen."""
        return ctx.gradient * gradients[0].to(ctx.gradient.dtype), None, None, None, None


def unsupported_reason(module: Any) -> str | None:
    """Why a model's loss must be computed from whole logits: its head is not a plain frozen matrix, or it rescales
    logits in a way that is not known here. None when it need not."""
    head, config = module.get_output_embeddings(), module.config.get_text_config()
    if type(head) is not torch.nn.Linear or head.weight.requires_grad:
        return "its head is not a frozen linear layer"
    if hasattr(head, "_hf_hook"):
        return "its layers are spread over devices"
    scales = [name for name in ("logits_scaling", "logit_scale") if getattr(config, name, None) not in (None, 1, 1.0)]
    return f"it has {scales[0]}" if scales else None


@contextmanager
def summed_loss_at(module: Any, positions: Tensor, targets: Tensor) -> Iterator[None]:
    """Within the block, the model's logits are the summed loss [1] of `targets` [n] at `positions` [n], counted over
    the whole batch."""
    head, config = module.get_output_embeddings(), module.config.get_text_config()
    softcap = getattr(config, "final_logit_softcapping", None)

    def forward(states: Tensor) -> Tensor:
        supervised = states.reshape(-1, states.shape[-1])[positions]
        return SummedCrossEntropy.apply(  # type: ignore[no-any-return, no-untyped-call]
            supervised, head.weight, head.bias, targets, softcap
        )[None]

    head.forward = forward
    if softcap is not None:
        config.final_logit_softcapping = None
    try:
        yield
    finally:
        del head.forward
        if softcap is not None:
            config.final_logit_softcapping = softcap
