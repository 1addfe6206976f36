"""What a person sees while it trains: the loss curve on disk and the progress bar."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import transformers

from spillover.core.files import atomic
from spillover.core.types import Progress


class Curve(transformers.TrainerCallback):  # type: ignore[misc]  # transformers is not typed
    """Writes the loss curve as it grows, and moves the progress bar."""

    def __init__(self, path: Path, progress: Progress) -> None:
        self.path, self.progress = path, progress

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.progress("train", state.global_step, state.max_steps)

    def on_log(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if not state.is_world_process_zero:
            return
        with atomic(self.path) as partial:
            partial.write_text("".join(json.dumps(row) + "\n" for row in state.log_history), encoding="utf-8")
