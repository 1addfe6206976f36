"""What can go wrong while it trains, said in one line: with the pairs to blame and where it is safe to go on from."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors import SafetensorError

from spillover.core.errors import ModelError, RunError
from spillover.stages.train.checkpoints import last_checkpoint

NAMED = 20


def check_loss(mean: torch.Tensor, vocabulary: int, ids: Sequence[str], checkpoints: Path) -> None:
    """ModelError when a part's mean loss is not a number, or has exploded: it is more than twice that of a uniform
    guess among the vocabulary. With the part's pairs and the last good checkpoint."""
    if mean <= 2 * math.log(vocabulary):
        return
    good = last_checkpoint(checkpoints)
    named = ", ".join(ids[:NAMED]) + (" ..." if len(ids) > NAMED else "")
    raise ModelError(
        f"the training loss is {mean.item():.4g} on pairs {named}; last good checkpoint: {good or 'none yet'}",
        hint="lower train.learning_rate, look at these pairs, or --dtype float32",
    )


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Within the block, what cannot be written is one RunError that names the folder and the last good checkpoint."""
    try:
        yield
    except (OSError, SafetensorError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
        # torch and safetensors hide the system's error in their own.
        if not isinstance(error, OSError) and not any(word in reason for word in ("writ", "I/O", "No space")):
            raise
        good = last_checkpoint(folder / "checkpoints")
        raise RunError(
            f"{folder}: cannot be written ({reason[:160]}); last good checkpoint: {good.name if good else 'none yet'}",
            hint="make room or allow writing; the same command goes on from there",
        ) from None
