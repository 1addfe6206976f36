"""Failures while it trains, each as one error: with the pairs that caused it and the checkpoint to resume from."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch

from spillover.core.errors import ModelError, RunError
from spillover.core.write_failures import write_failure
from spillover.stages.train.checkpoints import last_checkpoint

LISTED = 20


def check_loss(mean: torch.Tensor, vocabulary: int, ids: Sequence[str], checkpoints: Path) -> None:
    """ModelError when a part's mean loss is non-finite or has exploded: it is more than twice that of a uniform guess
    among the vocabulary. It names the part's pairs and the last good checkpoint."""
    if mean <= 2 * math.log(vocabulary):
        return
    checkpoint = last_checkpoint(checkpoints)
    listed = ", ".join(ids[:LISTED]) + (" ..." if len(ids) > LISTED else "")
    raise ModelError(
        f"the training loss is {mean.item():.4g} on pairs {listed}; last good checkpoint: {checkpoint or 'none yet'}",
        hint="lower train.learning_rate, check these pairs, or --dtype float32",
    )


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Within the context, a failure to write is one RunError that names the folder and the last good checkpoint."""
    try:
        yield
    except Exception as error:
        failure = write_failure(error, folder)
        if failure is None:
            raise
        checkpoint = last_checkpoint(folder / "checkpoints")
        raise RunError(
            f"{failure.message}; last good checkpoint: {checkpoint.name if checkpoint else 'none yet'}",
            hint=failure.hint,
        ) from None
