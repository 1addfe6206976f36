"""What visitors asked for, computed one after the other; their page asks now and then for what is there.

Not through Gradio's queue: when the answers of a visitor's queued events are all there, the browser closes their
stream, and the server then drops an event of theirs that came meanwhile. The browser waits for that one for ever.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any


@dataclass(eq=False)
class Computation:
    """One computation. steps: each what is there so far. latest: the last of them. failure: what ended it. replaced:
    another one is shown in its place."""

    steps: Iterable[Any]
    latest: Any = None
    done: bool = False
    cancelled: bool = False
    replaced: bool = False
    failure: Exception | None = None
    _told: Any = None

    def cancel(self) -> None:
        """Stop after the step that is being computed, or before the first."""
        self.cancelled = True

    def replace(self) -> None:
        """Cancel it, and show nothing more of it."""
        self.replaced = True
        self.cancel()

    def news(self) -> Any:
        """What is there, once; None where that was told already. RuntimeError, once, where it failed."""
        if self.failure is not None:
            failure, self.failure = self.failure, None
            raise RuntimeError(f"it could not be computed: {failure}") from failure
        latest = self.latest
        if latest is self._told:
            return None
        self._told = latest
        return latest

    def run(self) -> None:
        """Compute it, step by step."""
        steps = iter(self.steps)
        try:
            while not self.cancelled:
                self.latest = next(steps)
        except StopIteration:
            pass
        except Exception as error:  # noqa: BLE001 - the thread serves other visitors too; `news` raises it
            self.failure = error
        finally:
            self.done = True


class Worker:
    """One thread that computes what it is given, in the order in which that came."""

    def __init__(self) -> None:
        self._waiting: SimpleQueue[Computation] = SimpleQueue()
        # Ctrl-C does not wait for what is being computed.
        threading.Thread(target=self._work, name="explore", daemon=True).start()

    def start(self, steps: Iterable[Any]) -> Computation:
        """A computation that waits for its turn."""
        computation = Computation(steps)
        self._waiting.put(computation)
        return computation

    def _work(self) -> None:
        while True:
            self._waiting.get().run()
