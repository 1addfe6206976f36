"""What a task of Ray does first: it goes to the folder that it was started in, and sends what it says to where that is
shown."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from spillover.core.errors import RunError
from spillover.core.files import PARTIAL
from spillover.core.types import Progress

# Seconds between two steps of progress.
STEP = 0.5


class LogLine(NamedTuple):
    """A log message of a task. source: which one."""

    source: str
    level: int
    text: str


class Step(NamedTuple):
    """Progress of a task."""

    source: str
    activity: str
    done: int
    total: int


class Messages:
    """The actor that holds what tasks say until it is taken."""

    def __init__(self) -> None:
        self._kept: list[LogLine | Step] = []

    def add(self, message: LogLine | Step) -> None:
        """Keep one more."""
        self._kept.append(message)

    def take(self) -> list[LogLine | Step]:
        """All since the last time."""
        kept, self._kept = self._kept, []
        return kept


class _Relay(logging.Handler):
    """Log lines of a task, sent to `Messages`."""

    def __init__(self, messages: Any, source: str, level: int) -> None:
        super().__init__(level)
        self._messages, self._source = messages, source

    def emit(self, record: logging.LogRecord) -> None:
        """Send one."""
        self._messages.add.remote(LogLine(self._source, record.levelno, record.getMessage()))


def relayed(messages: Any, source: str, level: int = logging.INFO) -> Progress:
    """In a task: its log lines and its progress go to `messages` from here on, as those of `source`. Returns where to
    send progress."""
    logger = logging.getLogger("spillover")
    logger.setLevel(level)
    logger.handlers = [_Relay(messages, source, level)]
    latest: dict[str, float] = {}

    def progress(activity: str, done: int, total: int) -> None:
        now = time.monotonic()
        if done in (0, total) or now - latest.get(activity, 0) >= STEP:
            latest[activity] = now
            messages.add.remote(Step(source, activity, done, total))

    return progress


def use_threads(number: int) -> None:
    """In a task: the libraries that multiply matrices take so many threads."""
    os.environ["OMP_NUM_THREADS"] = str(number)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(number)


@dataclass(frozen=True)
class Place:
    """A folder that this process and all tasks see. token: a file in it, for as long as the tasks run."""

    folder: Path
    token: Path

    def enter(self) -> None:
        """In a task: work there. RunError where it is another machine's."""
        with contextlib.suppress(OSError):
            os.chdir(self.folder)
            if self.token.exists():
                return
        raise RunError(
            f"{self.token.parent}: not the folder that this was started with, on {socket.gethostname()}",
            hint="start it in a folder, and with an --out, that every node of the cluster sees",
        )


@contextlib.contextmanager
def shared_place(out: Path) -> Iterator[Place]:
    """The folder of this process, with the token in `out`."""
    out.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix="ray-", suffix=PARTIAL, dir=out.absolute())
    os.close(descriptor)
    try:
        yield Place(Path.cwd(), Path(name))
    finally:
        Path(name).unlink(missing_ok=True)
