"""Run the command line on one input, in a process of its own, within bounds of time and memory; judge how it ended.

The process is forked from one that has imported everything, so that an input costs milliseconds, and the bounds hold
whatever the code does.
"""

from __future__ import annotations

import os
import re
import resource
import signal
import sys
import traceback
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from spillover.cli import main
from spillover.stages.report import page
from spillover.tasks.wording import load_task

SECONDS = 30
WAITING = 10  # wall time may be so many times the processor's: the machine may be busy
MEMORY = 4 << 30
TASK = "sentiment"  # of most inputs: read once here, not in each process
USER_ERRORS = (2, 3, 4)
# What a command leaves behind when it is stopped by a mistake: the manifest, the config and the log of a run folder.
LEFTOVER = re.compile(r"\.partial$|\.tmp$|\.batches\.jsonl$")


@dataclass(frozen=True)
class Ending:
    """How a run ended. code: exit code, negative for the signal that ended it. seconds: of the processor."""

    code: int
    output: str
    seconds: float


def run_command(arguments: Sequence[str], folder: Path, *, seconds: float = SECONDS, memory: int = MEMORY) -> Ending:
    """Run spillover in `folder`. A process that needs more seconds of the processor is killed, one that needs more
    memory gets a MemoryError."""
    output = folder.parent / f"{folder.name}.output"
    load_task(TASK)
    child = os.fork()
    if child == 0:  # pragma: no cover
        _be_spillover(arguments, folder, output, seconds, memory)
    _, status, used = os.wait4(child, 0)
    text = output.read_text(encoding="utf-8", errors="replace")
    output.unlink()
    return Ending(os.waitstatus_to_exitcode(status), text, used.ru_utime + used.ru_stime)


def _processor_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _be_spillover(arguments: Sequence[str], folder: Path, output: Path, seconds: float, memory: int) -> None:
    code = 70
    try:
        os.chdir(folder)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_REAL, WAITING * seconds)
        resource.setrlimit(resource.RLIMIT_CPU, (int(_processor_seconds() + seconds),) * 2)
        resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))
        descriptor = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(descriptor, 1)
        os.dup2(descriptor, 2)
        sys.stdout = os.fdopen(1, "w", encoding="utf-8", closefd=False)
        sys.stderr = os.fdopen(2, "w", encoding="utf-8", closefd=False)
        page.vega = lambda: ""  # a second of a library's work, and no input of ours
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


def files_of(folder: Path) -> set[str]:
    """The files under a folder, by their path in it."""
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def faults(ending: Ending, folder: Path, before: Iterable[str], made: Sequence[str]) -> list[str]:
    """What is wrong with how a command ended: [] for success, and for one message with exit code 2, 3 or 4.

    before: the files that were there. made: what must not be there when it failed."""
    problems = []
    if "Traceback (most recent call last)" in ending.output:
        problems.append("traceback")
    if ending.code < 0:
        signals = dict.fromkeys((-signal.SIGALRM, -signal.SIGXCPU, -signal.SIGKILL), "took too long")
        problems.append(signals.get(ending.code, f"killed by signal {-ending.code}"))
    elif ending.code not in (0, *USER_ERRORS):
        problems.append(f"exit code {ending.code}")
    messages = [line for line in ending.output.splitlines() if line.startswith("error: ")]
    if ending.code in USER_ERRORS and not messages and "Usage:" not in ending.output:
        problems.append("no message")
    if re.search(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\u202a-\u202e\u2066-\u2069]", ending.output):
        problems.append("control characters in the output")
    new = files_of(folder) - set(before)
    problems += [f"left {name}" for name in sorted(new) if LEFTOVER.search(name)]
    if ending.code:
        problems += [f"made {name}" for name in made if (folder / name).exists()]
    return problems
