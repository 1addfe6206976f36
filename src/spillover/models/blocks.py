"""Where a model's blocks and its final norm are, whatever its family calls them."""

from __future__ import annotations

from typing import Any

from torch import nn

from spillover.core.errors import ModelError

FINAL_NORMS = ("norm", "final_layernorm", "ln_f", "final_layer_norm", "norm_f")


def final_norm(module: Any) -> nn.Module:
    """The norm between the last block and the unembedding. ModelError when it is not found."""
    decoder = module.get_decoder()
    norm = next((child for name in FINAL_NORMS if (child := getattr(decoder, name, None)) is not None), None)
    if not isinstance(norm, nn.Module):
        raise ModelError(
            f"{type(decoder).__name__}: no final norm found, so its states cannot be read",
            hint=f"looked for {', '.join(FINAL_NORMS)}; report this model",
        )
    return norm


def blocks(module: Any) -> list[nn.Module]:
    """The model's blocks, first to last. ModelError when there is no list of as many as its config says."""
    decoder, count = module.get_decoder(), int(module.config.get_text_config().num_hidden_layers)
    for child in decoder.children():
        if isinstance(child, nn.ModuleList) and len(child) == count:
            return list(child)
    raise ModelError(f"{type(decoder).__name__}: no list of its {count} blocks found", hint="report this model")


def residual_modules(module: Any) -> list[nn.Module]:
    """The modules that read the residual stream, [layers + 1]: module l has hidden state l as its input."""
    return [*blocks(module), final_norm(module)]
