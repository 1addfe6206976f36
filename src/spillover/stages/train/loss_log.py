"""The loss history on disk and the progress bar while it trains."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import transformers

from spillover.core.files import atomic
from spillover.core.types import Progress


class LossLog(transformers.TrainerCallback):  # type: ignore[misc]  # transformers is not typed
    """Writes the loss history to a file of JSON lines at each log, and advances the progress bar at each step."""

    def __init__(self, path: Path, progress: Progress) -> None:
        self.path, self.progress = path, progress

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Advance the progress bar."""
        self.progress("train", state.global_step, state.max_steps)

    def on_log(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Rewrite the file, in the first process only."""
        if not state.is_world_process_zero:
            return
        with atomic(self.path) as partial:
            partial.write_text("".join(json.dumps(row) + "\n" for row in state.log_history), encoding="utf-8")
