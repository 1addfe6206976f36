"""A small training that many tests interrupt, and what it leaves."""

from __future__ import annotations

from pathlib import Path

from spillover.core.config import TrainConfig

CHECKPOINT_EACH_STEP = TrainConfig(
    epochs=1.5, batch=4, batch_tokens=250, rank=2, learning_rate=1e-2, validation=0.2, checkpoint_steps=1
)


def adapter_bytes(folder: Path) -> bytes:
    """The weights of a run's adapter, as they are on disk."""
    return (folder / "train" / "adapter" / "adapter_model.safetensors").read_bytes()
