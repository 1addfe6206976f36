"""Logit lens: what each layer would answer, if it were the last (nostalgebraist 2020; Wendler et al. 2024).

The residual at the last token goes through the model's own final norm and unembedding, once at every layer. Null:
random tokens, as many as the label set has.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from spillover.models.load import Model
from spillover.models.states import final_norm

BITS = 1 / torch.log(torch.tensor(2.0)).item()


def unembed(model: Model) -> Callable[[Tensor], Tensor]:
    """A function ([n, hidden] float32 residuals) → [n, vocab] float32 log-probabilities.

    ModelError when the final norm is not found: a lens without it would show something else.
    """
    module: Any = model.module
    norm = final_norm(module)
    head = module.get_output_embeddings()
    config = module.config.get_text_config()
    cap = getattr(config, "final_logit_softcapping", None)
    divisor = getattr(config, "logits_scaling", None) or 1.0
    factor = getattr(config, "logit_scale", None) or 1.0

    def lens(states: Tensor) -> Tensor:
        with torch.inference_mode():
            inner = states.to(model.device, model.dtype)
            logits = head(norm(inner)).float() * factor / divisor
            if cap:
                logits = cap * torch.tanh(logits / cap)
            result: Tensor = logits.log_softmax(dim=-1)
            return result

    return lens


def lens_masses(
    lens: Callable[[Tensor], Tensor], states: Tensor, token_sets: Sequence[Sequence[int]]
) -> tuple[Tensor, Tensor]:
    """states: [n, layers + 1, hidden], one language. Returns (mass [layers + 1, n, sets], entropy [layers + 1, n]):
    probability of each token set, in [0, 1], and entropy in bits."""
    layers = states.shape[1]
    masses, entropies = [], []
    for layer in range(layers):
        logprobs = lens(states[:, layer])
        probabilities = logprobs.exp()
        masses.append(torch.stack([probabilities[:, list(tokens)].sum(dim=-1) for tokens in token_sets], dim=-1))
        entropies.append(-(probabilities * logprobs).sum(dim=-1) * BITS)
    return torch.stack(masses).cpu(), torch.stack(entropies).cpu()
