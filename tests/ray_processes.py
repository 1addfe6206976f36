"""A spillover in a process of its own that starts a Ray, and which processes it has left."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

MARK = "SPILLOVER_TEST"
SECONDS = 600


@dataclass
class RayProcess:
    """A running command. mark: what its environment, and that of every process that it starts, holds. seen: processes
    that it had at some moment."""

    process: subprocess.Popen[str]
    mark: str
    seen: set[psutil.Process] = field(default_factory=set)

    def end(self) -> tuple[int, str]:
        """(exit code, what it said on both streams), once it has ended."""
        output, _ = self.process.communicate(timeout=SECONDS)
        return self.process.returncode, output

    def running(self) -> bool:
        """Whether it runs; meanwhile it is noted which processes it has."""
        if self.process.poll() is not None:
            return False
        try:
            self.seen |= set(psutil.Process(self.process.pid).children(recursive=True))
        except psutil.NoSuchProcess:
            return False
        return True

    def pids(self, command: str) -> list[int]:
        """Its processes whose command line holds `command`."""
        return [process.pid for process in self._alive() if command in _line(process)]

    def left(self) -> list[str]:
        """Command lines of the processes that are left ten seconds after its end."""
        deadline = time.monotonic() + 10
        while (alive := self._alive()) and time.monotonic() < deadline:
            time.sleep(0.2)
        return [_line(process) for process in alive]

    def _alive(self) -> list[psutil.Process]:
        self.running()
        marked = [process for process in psutil.process_iter() if _has_mark(process, self.mark)]
        return [
            process
            for process in {*self.seen, *marked}
            if process.pid != self.process.pid and process.is_running() and process.status() != psutil.STATUS_ZOMBIE
        ]


def start(arguments: Sequence[object], folder: Path, **environment: str) -> RayProcess:
    """Start spillover in a folder, one thread a process."""
    mark = uuid.uuid4().hex
    variables = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    variables |= {MARK: mark, "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"} | environment
    command = [sys.executable, "-m", "spillover", *map(str, arguments)]
    process = subprocess.Popen(
        command, cwd=folder, env=variables, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    return RayProcess(process, mark)


def _line(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def _has_mark(process: psutil.Process, mark: str) -> bool:
    # Ray writes its workers' titles over their environment: those are found as children, while it runs.
    try:
        return process.environ().get(MARK) == mark
    except (psutil.Error, OSError):
        return False
