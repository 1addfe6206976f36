"""Computations for visitors, one after the other in a thread of their own; the page polls for results.

Not through Gradio's queue: when the answers of a visitor's queued events are all there, the browser closes their
stream, and the server then drops an event of theirs that came meanwhile. The browser waits for that one for ever.
"""

from __future__ import annotations

import atexit
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any

LONGEST_STEP = 30.0
"""Seconds that the end of the process waits for."""


@dataclass(eq=False)
class Computation:
    """One computation. steps: each a result so far. latest: the last of them. failure: the exception that ended it.
    replaced: another one is shown in its place."""

    steps: Iterable[Any]
    latest: Any = None
    done: bool = False
    cancelled: bool = False
    replaced: bool = False
    failure: Exception | None = None
    _seen: Any = None

    @property
    def pending(self) -> bool:
        """Whether `new_result` has more to return, now or later."""
        return not self.cancelled and not (self.done and self.latest is self._seen)

    def cancel(self) -> None:
        """Stop after the step that is being computed, or before the first."""
        self.cancelled = True

    def replace(self) -> None:
        """Cancel it, and show nothing more of it."""
        self.replaced = True
        self.cancel()

    def new_result(self) -> Any:
        """The latest step, once: None where it was returned before. RuntimeError, once, where it failed."""
        if self.failure is not None:
            failure, self.failure = self.failure, None
            raise RuntimeError(f"it could not be computed: {failure}") from failure
        latest = self.latest
        if latest is self._seen:
            return None
        self._seen = latest
        return latest

    def run(self) -> None:
        """Compute it, step by step."""
        steps = iter(self.steps)
        try:
            while not self.cancelled:
                self.latest = next(steps)
        except StopIteration:
            pass
        except Exception as error:  # noqa: BLE001 - the thread serves other visitors too; `new_result` raises it
            self.failure = error
        finally:
            self.done = True


class Worker:
    """One thread that computes what it is given, in the order in which that came, until it or the process ends."""

    def __init__(self) -> None:
        self._waiting: SimpleQueue[Computation | None] = SimpleQueue()
        self._running: Computation | None = None
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="explore", daemon=True)
        self._thread.start()
        # A process that ends while torch computes in a thread is aborted by the C++ library.
        atexit.register(self.close)

    def start(self, steps: Iterable[Any]) -> Computation:
        """A computation that waits for its turn."""
        computation = Computation(steps)
        self._waiting.put(computation)
        return computation

    def close(self) -> None:
        """End after the step that is being computed; what waits is not computed."""
        self._closed = True
        if self._running is not None:
            self._running.cancel()
        self._waiting.put(None)
        self._thread.join(LONGEST_STEP)

    def _work(self) -> None:
        while (computation := self._waiting.get()) is not None:
            self._running = computation
            if self._closed:
                return
            computation.run()
