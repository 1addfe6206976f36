"""Train: a LoRA adapter from pairs, evaluated while it trains, and merged into full weights.

The names are resolved when they are first used: what only reads a finished training loads no torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from spillover.stages.train.in_training import in_training_evaluation
    from spillover.stages.train.merging import merge
    from spillover.stages.train.stage import train

__all__ = ["in_training_evaluation", "merge", "train"]

_MODULES = {"in_training_evaluation": "in_training", "merge": "merging", "train": "stage"}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
