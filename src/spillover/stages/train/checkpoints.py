"""The checkpoints of a training run: which of them it can resume from, and which are kept.

Trainer would tell old from new by the time of change, which a clock that jumps makes wrong; here it is the step.
"""

from __future__ import annotations

import json
import logging
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import transformers
from safetensors import SafetensorError, safe_open

from spillover.core.files import remove_folder

log = logging.getLogger(__name__)

KEPT = 2


class KeepLast(transformers.TrainerCallback):  # type: ignore[misc]  # transformers is not typed
    """After each checkpoint, removes all but the last two and the best."""

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """In the first process only."""
        if state.is_world_process_zero:
            best = Path(state.best_model_checkpoint or "").name
            for path in checkpoints_in(Path(args.output_dir))[:-KEPT]:
                if path.name != best:
                    remove_folder(path)


def checkpoints_in(folder: Path) -> list[Path]:
    """The checkpoints of a folder, intact or not, by step."""
    steps = {path: path.name.rpartition("-")[2] for path in folder.glob("checkpoint-*")}
    return sorted((path for path, step in steps.items() if step.isdigit()), key=lambda path: int(steps[path]))


def last_checkpoint(folder: Path) -> Path | None:
    """The newest intact checkpoint, None when there is none; each newer one that is damaged is named in a log line.
    trainer_state.json is written last: a folder without it is incomplete."""
    for path in reversed(checkpoints_in(folder)):
        corruption = find_corruption(path)
        if corruption is None:
            return path
        log.warning("%s is damaged (%s): skipped", path, corruption)
    return None


def remove_newer(folder: Path, checkpoint: Path | None) -> None:
    """Remove the checkpoints behind the one that is resumed from, all of them when None: they are damaged, and one that
    is written over and killed meanwhile would be a mix."""
    checkpoints = checkpoints_in(folder)
    for path in checkpoints[checkpoints.index(checkpoint) + 1 :] if checkpoint else checkpoints:
        remove_folder(path)


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
