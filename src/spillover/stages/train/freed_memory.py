"""Memory that training has freed goes back to the system now and then.

Each step packs rows of other lengths, and what it frees leaves gaps that later steps do not fit into: Gemma 3 270M grew
by 0.1 GB a step on a processor, from 2.6 GB to 3.8 in ten (experiments/2026-11-27-training-memory.md).
"""

from __future__ import annotations

from typing import Any

import transformers

from spillover.models.fast.malloc import return_freed_memory

STEPS = 8


class FreedMemory(transformers.TrainerCallback):  # type: ignore[misc]  # transformers is not typed
    """Returns it every `STEPS` steps, and at the end."""

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Every so many steps: it takes a tenth of a second or two."""
        if state.global_step % STEPS == 0:
            return_freed_memory()

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """What follows in the same process has the memory."""
        return_freed_memory()
