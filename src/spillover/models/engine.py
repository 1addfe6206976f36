"""Which engine scores a model. Today there is one: the reference engine on a torch model."""

from __future__ import annotations

from spillover.models.load import Model
from spillover.models.local import LocalEngine


def open_engine(model: Model, *, batch_tokens: int = 4096, prefix_cache: bool = True) -> LocalEngine:
    """An engine for a loaded model. `batch_tokens` bounds the tokens of one forward pass."""
    return LocalEngine(model, batch_tokens=batch_tokens, prefix_cache=prefix_cache)
