"""A small run of all stages in a process of its own, what may befall it, and whether it ended as if nothing had.

1. `write_input`: model, data and the configs of the smallest runs that go through all stages.
2. `start` forks a process that has imported everything; a `Trouble` is done to it there.
3. `differences` compares a run folder with one that nothing befell: every file byte by byte, times left out.
"""

from __future__ import annotations

import ctypes
import json
import os
import random
import re
import resource
import select
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import altair  # noqa: F401  # what a run needs is imported before the fork
import peft  # noqa: F401
import sklearn.decomposition  # noqa: F401

import spillover.pipeline
import spillover.stages.evaluate.stage
import spillover.stages.probe.stage
import spillover.stages.train.merging
import spillover.stages.train.stage  # noqa: F401
from spillover.cli import main
from spillover.core import runs
from spillover.stages.report import page
from spillover.tasks.wording import load_task
from tests.builders import save_model, small_data

CONFIG = (
    "data: data\nname: {name}\nmodel: {{name: model, dtype: float32, device: cpu}}\nbuild: {{sources: [de]}}\n"
    "languages: [en, de]\nprobe: {{items: 3}}\ncompare: {{draws: 50}}\n"
    "train: {{epochs: 2, batch: 2, learning_rate: 0.01, warmup: 0, checkpoint_steps: 1, {train}}}\n"
)
# The ways to choose the adapter: the last one, by validation loss, by in-training evaluation.
TRAININGS = {
    "last": "validation: 0.0",
    "validation": "validation: 0.3",
    "evaluated": "validation: 0.0, eval_every: 1, eval_items: 2, best: auroc.all",
}
# Keys of JSON files that hold times, and Trainer's mean loss of the steps since the resume.
TIMES = {"created", "started", "seconds", "time", "tokens_per_second", "train_loss"}
TIMED = re.compile(r"_runtime$|_per_second$")
CHANGES = {"os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.truncate"}
MONTH = 30 * 24 * 3600
PAUSED = b"paused\n"
SECONDS = 600  # no process of a test outlives them
TASK = "sentiment"  # of all runs: read once here, not in each process


@dataclass(frozen=True)
class Trouble:
    """What befalls a process. at_change: it kills itself in front of the so manieth change of a file; pause_at_change: it
    waits there. file_bytes: no file can grow further, as on a full disk. unprivileged: root too may only write where
    permitted. clock: the clock jumps, with this seed."""

    at_change: int | None = None
    pause_at_change: int | None = None
    file_bytes: int | None = None
    unprivileged: bool = False
    clock: int | None = None


@dataclass
class Process:
    """A running spillover and what it says."""

    pid: int
    pipe: int
    output: bytes = b""
    code: int | None = field(default=None)

    def wait(self, seconds: float | None = None, *, paused: bool = False) -> int | None:
        """The exit code, negative for the signal that ended it; None when it still runs after so many seconds. paused:
        or when it waits at the change that its trouble names."""
        deadline = None if seconds is None else time.monotonic() + seconds
        while self.code is None and not (paused and PAUSED in self.output):
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                return None
            if select.select([self.pipe], [], [], left)[0]:
                data = os.read(self.pipe, 1 << 16)
                self.output += data
                if not data:
                    os.close(self.pipe)
                    self.code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return self.code

    def send(self, number: signal.Signals) -> int:
        """Send a signal; the exit code."""
        if self.code is None:
            os.kill(self.pid, number)
        code = self.wait()
        assert code is not None
        return code

    @property
    def text(self) -> str:
        """What it said, on both streams."""
        return self.output.decode(errors="replace")


def write_input(place: Path) -> None:
    """The folders model and data, and a config for each way of `TRAININGS`."""
    save_model(place / "model")
    small_data(place / "data", items=4)
    for name, train in TRAININGS.items():
        (place / f"{name}.yaml").write_text(CONFIG.format(name=name, train=train))


def start(arguments: Sequence[str], place: Path, trouble: Trouble | None = None) -> Process:
    """Start spillover in the folder `place`."""
    load_task(TASK)
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:  # pragma: no cover
        os.close(reading)
        _be_spillover(arguments, place, writing, trouble or Trouble())
    os.close(writing)
    return Process(pid, reading)


def _be_spillover(arguments: Sequence[str], place: Path, pipe: int, trouble: Trouble) -> None:
    code = 70
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.alarm(SECONDS)
        os.chdir(place)
        os.dup2(pipe, 1)
        os.dup2(pipe, 2)
        os.close(pipe)
        sys.stdout = os.fdopen(1, "w", encoding="utf-8", closefd=False)
        sys.stderr = os.fdopen(2, "w", encoding="utf-8", closefd=False)
        sys.argv = ["spillover", *arguments]
        page.vega = lambda: ""  # seconds of a library's work, and no file of ours
        _befall(trouble)
        main(arguments)
    except SystemExit as ending:
        code = ending.code if isinstance(ending.code, int) else 1
    except BaseException:  # noqa: BLE001  # whatever it is, it is a fault to report
        traceback.print_exc()
        code = 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _befall(trouble: Trouble) -> None:
    if trouble.file_bytes is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (trouble.file_bytes,) * 2)
    if trouble.unprivileged and os.getuid() == 0:
        _drop_capabilities()
    if trouble.clock is not None:
        _jumping_clock(random.Random(trouble.clock))
    if trouble.at_change is not None:
        _at_change(trouble.at_change, lambda: os.kill(os.getpid(), signal.SIGKILL))
    if trouble.pause_at_change is not None:
        _at_change(trouble.pause_at_change, _pause)


def _pause() -> None:
    os.write(1, PAUSED)
    signal.pause()


def _drop_capabilities() -> None:
    """capset(2): root without CAP_DAC_OVERRIDE, for which permissions hold."""
    header, none = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
    if ctypes.CDLL(None, use_errno=True).capset(header, none):
        raise OSError(ctypes.get_errno(), "capset")


def _at_change(number: int, act: Callable[[], Any]) -> None:
    """Act in front of the so manieth time that this process opens a file of its folder to write, renames or removes
    one."""
    left, place = number, f"{Path.cwd()}/"

    def count(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal left
        changes = event in CHANGES or (event == "open" and bool((arguments[2] or 0) & (os.O_WRONLY | os.O_RDWR)))
        if changes and not isinstance(arguments[0], int) and os.path.abspath(arguments[0]).startswith(place):  # noqa: PTH100
            left -= 1
            if left == 0:
                act()

    sys.addaudithook(count)


def _jumping_clock(rng: random.Random) -> None:
    """From now on each look at the clock shows another month, up to a year before or after."""
    now = time.time

    class Jumping(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return datetime.fromtimestamp(time.time(), tz or timezone.utc)

    time.time = lambda: now() + MONTH * rng.randint(-12, 12)
    runs.datetime = Jumping  # type: ignore[misc]


def jump_file_times(folder: Path, rng: random.Random) -> None:
    """Give every file and folder a time of change within a year of now, in no order."""
    for path in folder.rglob("*"):
        seconds = time.time() + rng.uniform(-12, 12) * MONTH
        os.utime(path, (seconds, seconds))


def contents(folder: Path) -> dict[str, Any]:
    """What every file holds, by its path: bytes, or values without their times; of log.jsonl and the page, that they
    are whole."""
    held = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        name = path.relative_to(folder).as_posix()
        if name == "log.jsonl":
            held[name] = [json.loads(line)["event"] for line in path.read_text().split("\n")[:-1]] != []
        elif name == "report.html":
            held[name] = path.read_text(encoding="utf-8").rstrip().endswith("</html>")
        elif name in ("run.json", "train/steps.jsonl"):
            rows = path.read_text(encoding="utf-8")
            held[name] = timeless([json.loads(row) for row in ([rows] if name == "run.json" else rows.splitlines())])
        else:
            held[name] = path.read_bytes()
    return held


def timeless(value: Any) -> Any:
    """A JSON value without the keys that hold times."""
    if isinstance(value, dict):
        return {key: timeless(item) for key, item in value.items() if key not in TIMES and not TIMED.search(key)}
    return [timeless(item) for item in value] if isinstance(value, list) else value


def differences(found: dict[str, Any], wanted: dict[str, Any]) -> list[str]:
    """What is left over, missing, or holds something else."""
    return [
        *(f"left over: {name}" for name in found if name not in wanted),
        *(f"missing: {name}" for name in wanted if name not in found),
        *(f"other content: {name}" for name in wanted if name in found and found[name] != wanted[name]),
    ]


def half_written(folder: Path) -> list[str]:
    """What a process that ended by itself must not leave: temporary files and its lock."""
    return [path.name for path in folder.rglob("*") if path.name.endswith(".partial") or path.name == runs.LOCK]
