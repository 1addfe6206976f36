"""What can go wrong while it trains, said in one line: with the pairs to blame and where it is safe to go on from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from spillover.core.errors import ModelError
from spillover.train.checkpoints import last_checkpoint

NAMED = 20


def check_loss(total: torch.Tensor, ids: Sequence[str], checkpoints: Path) -> None:
    """ModelError when a part's loss is not a number, with its pairs and the last good checkpoint."""
    if torch.isfinite(total):
        return
    good = last_checkpoint(checkpoints)
    raise ModelError(
        f"the training loss is {total.item()} on pairs {', '.join(ids[:NAMED])}{' ...' if len(ids) > NAMED else ''}; "
        f"last good checkpoint: {good or 'none yet'}",
        hint="lower train.learning_rate, look at these pairs, or --dtype float32",
    )
