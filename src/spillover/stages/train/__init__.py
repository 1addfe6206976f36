"""Train: a LoRA adapter from pairs, evaluated while it trains, and merged into full weights.

The names are resolved when they are first used: what only reads a finished training loads no torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from spillover.core.lazy import lazy_names

if TYPE_CHECKING:
    from spillover.stages.train.in_training import in_training_evaluation
    from spillover.stages.train.merging import merge
    from spillover.stages.train.stage import train

__all__ = ["in_training_evaluation", "merge", "train"]

__getattr__ = lazy_names(
    __name__,
    {
        "in_training_evaluation": f"{__name__}.in_training",
        "merge": f"{__name__}.merging",
        "train": f"{__name__}.stage",
    },
)
