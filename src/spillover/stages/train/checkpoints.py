"""The checkpoints of a training run: which of them it can resume from."""

from __future__ import annotations

import json
import logging
import zipfile
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open

log = logging.getLogger(__name__)


def last_checkpoint(folder: Path) -> Path | None:
    """The newest intact checkpoint, None when there is none; each newer one that is damaged is named in a log line.
    trainer_state.json is written last: a folder without it is incomplete."""
    checkpoints = [path for path in folder.glob("checkpoint-*") if path.name.rpartition("-")[2].isdigit()]
    for path in sorted(checkpoints, key=lambda path: -int(path.name.rpartition("-")[2])):
        corruption = find_corruption(path)
        if corruption is None:
            return path
        log.warning("%s is damaged (%s): skipped", path, corruption)
    return None


def find_corruption(checkpoint: Path) -> str | None:
    """The first file of a checkpoint that cannot be read, and why; None when it is intact."""
    try:
        json.loads((checkpoint / "trainer_state.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        return f"trainer_state.json: {'missing' if isinstance(error, FileNotFoundError) else 'broken'}"
    for path in sorted(checkpoint.rglob("*.safetensors")):
        try:
            with safe_open(str(path), framework="np") as file:
                finite = all(np.isfinite(file.get_tensor(name)).all() for name in file.keys())  # noqa: SIM118
        except (OSError, SafetensorError):
            return f"{path.name}: broken"
        if not finite:
            return f"{path.name}: non-finite weights"
    for pattern in ("*.pt", "*.pth"):
        for path in sorted(checkpoint.glob(pattern)):
            try:
                with zipfile.ZipFile(path) as archive:
                    broken = archive.testzip()
            except (OSError, zipfile.BadZipFile):
                broken = path.name
            if broken:
                return f"{path.name}: broken"
    return None
