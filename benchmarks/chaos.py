"""A small run that is killed and resumed, or that the disk, a signal or the clock befalls, must end as one that nothing
befell. `make chaos`; CHAOS="--runs 100 --seed 0 --only kill".

Each run is `spillover run` of all stages (audit to report) on a tiny random model, in a process of its own. Up to
`TROUBLES` times it is

  kill    killed with SIGKILL, after a random time or in front of a random change of a file
  signal  ended by SIGTERM or Ctrl-C after a random time: exit code 143 or 130, one line, nothing half-written
  disk    run with a limit on the size of files, which no write can pass: exit code 3, one message, nothing half-written
  clock   killed, while each look at the clock shows another month; files get random times of change in between

and then resumed to its end. Every file must then hold what it holds after an uninterrupted run, byte by byte (times
left out), and no file may be left over. What failed is kept under chaos-failures/. In parts: --minutes 5 begins no run
after that time and says how to continue, --first N with run N.
"""

from __future__ import annotations

import argparse
import random
import shutil
import signal
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from tests.chaos.running import (
    TRAININGS,
    Trouble,
    contents,
    differences,
    half_written,
    jump_file_times,
    start,
    write_input,
)

from spillover.core.runs import open_run

TROUBLES = 3
# A run changes about so many files; a few more, so that some are not killed.
CHANGES = 420
LARGEST_FILE = 60_000
ENDS = {signal.SIGTERM: 143, signal.SIGINT: 130}
KINDS = ("kill", "signal", "disk", "clock")


@dataclass
class Tally:
    """What happened over all runs: how often each trouble did, and in which stage."""

    runs: int = 0
    troubles: Counter[str] = field(default_factory=Counter)
    stages: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Whole:
    """An uninterrupted run: what it left, how long it took."""

    contents: dict[str, Any]
    seconds: float


def main() -> None:
    """Trouble and resume, print what happened, and exit with 1 where a run ended otherwise."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=float("inf"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=KINDS, help="this trouble alone; of the others each fifth run has one")
    parser.add_argument("--keep", type=Path, default=Path("chaos-failures"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    tally, started = Tally(), time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        write_input(place)
        wholes: dict[str, Whole] = {}
        for number in range(options.first, options.first + options.runs):
            if time.monotonic() - started > 60 * options.minutes:
                print(f"continue with --first {number} --runs {options.first + options.runs - number}")
                break
            training = list(TRAININGS)[number % len(TRAININGS)]
            if training not in wholes:
                wholes[training] = whole_run(place, training)
            kind = options.only or (KINDS[1 + number // 5 % 3] if number % 5 == 4 else "kill")
            rng = random.Random(f"{options.seed} {number}")
            problems = one_run(place, training, kind, wholes[training], rng, tally)
            if problems:
                tally.failures.append(f"run {number} ({training}, {kind}): {'; '.join(problems)}")
                shutil.copytree(place / "troubled", options.keep / f"{options.seed}-{number}", dirs_exist_ok=True)
                print(tally.failures[-1], flush=True)
            shutil.rmtree(place / "troubled")
    print(f"{tally.runs} runs, {len(tally.failures)} failures")
    print("troubles: " + ", ".join(f"{name} {count}" for name, count in tally.troubles.most_common()))
    print("in the stages: " + ", ".join(f"{name} {count}" for name, count in tally.stages.most_common()))
    raise SystemExit(bool(tally.failures))


def whole_run(place: Path, training: str) -> Whole:
    """The run that nothing befalls."""
    started = time.monotonic()
    process = start(["run", f"{training}.yaml", "--out", f"{training}/run"], place)
    if process.wait():
        raise SystemExit(f"the uninterrupted run ends with {process.code}:\n{process.text}")
    return Whole(contents(place / training / "run"), time.monotonic() - started)


def one_run(place: Path, training: str, kind: str, whole: Whole, rng: random.Random, tally: Tally) -> list[str]:
    """Trouble a run of the folder `troubled` up to `TROUBLES` times, and resume it; what is wrong then."""
    arguments, folder = ["run", f"{training}.yaml", "--out", "troubled/run"], place / "troubled" / "run"
    folder.parent.mkdir()
    problems = []
    for _ in range(rng.randint(1, TROUBLES)):
        problems += {"kill": killed, "signal": ended_by_signal, "disk": full_disk, "clock": jumped}[kind](
            arguments, place, whole, rng, tally
        )
        tally.stages[stage_of(folder)] += 1
        if kind == "clock":
            jump_file_times(folder, rng)
    process = start(arguments, place)
    process.wait()
    tally.runs += 1
    if process.code:
        return [*problems, f"resumed: exit code {process.code}: {process.text[-300:]}"]
    return problems + differences(contents(folder), whole.contents)


def killed(
    arguments: list[str], place: Path, whole: Whole, rng: random.Random, tally: Tally, clock: int | None = None
) -> list[str]:
    """SIGKILL, after a time or in front of a change."""
    at_change = rng.randint(1, CHANGES) if rng.random() < 0.7 else None
    seconds = None if at_change else rng.uniform(0, whole.seconds)
    process = start(arguments, place, Trouble(at_change=at_change, clock=clock))
    process.wait(seconds)
    code = process.send(signal.SIGKILL)
    tally.troubles["kills" if code == -signal.SIGKILL else "not killed before its end"] += 1
    return [f"exit code {code}: {process.text[-300:]}"] if code not in (0, -signal.SIGKILL) else []


def jumped(arguments: list[str], place: Path, whole: Whole, rng: random.Random, tally: Tally) -> list[str]:
    """SIGKILL with a clock that jumps."""
    tally.troubles["jumping clocks"] += 1
    return killed(arguments, place, whole, rng, tally, clock=rng.randint(0, 1 << 30))


def ended_by_signal(arguments: list[str], place: Path, whole: Whole, rng: random.Random, tally: Tally) -> list[str]:
    """SIGTERM or Ctrl-C; it must end by itself, with one line."""
    number = rng.choice(list(ENDS))
    process = start(arguments, place)
    process.wait(rng.uniform(0.1, whole.seconds))  # Python's own start is not ours
    code = process.send(number)
    tally.troubles[number.name if code else "ended before its signal"] += 1
    problems = [] if code in (0, ENDS[number]) else [f"{number.name}: exit code {code}: {process.text[-300:]}"]
    if code and "rerun the same command to resume" not in process.text.strip().splitlines()[-1]:
        problems.append(f"{number.name}: last line: {process.text.strip().splitlines()[-1:]}")
    return problems + complaints(process.text, place)


def full_disk(arguments: list[str], place: Path, whole: Whole, rng: random.Random, tally: Tally) -> list[str]:
    """A limit on the size of a file: exit code 3 with one message, or success where no file is that large."""
    process = start(arguments, place, Trouble(file_bytes=int(LARGEST_FILE ** rng.uniform(0.3, 1))))
    code = process.wait()
    tally.troubles["full disks" if code else "disks that were large enough"] += 1
    problems = [] if code in (0, 3) else [f"full disk: exit code {code}: {process.text[-600:]}"]
    if code == 3 and process.text.count("error: ") != 1:
        problems.append(f"full disk: {process.text[-300:]}")
    return problems + complaints(process.text, place)


def complaints(text: str, place: Path) -> list[str]:
    """What is wrong with how a process ended by itself."""
    left = half_written(place / "troubled")
    return ["traceback"] * ("Traceback" in text) + [f"half-written: {name}" for name in left]


def stage_of(folder: Path) -> str:
    """The stage that a run was in, as its manifest says."""
    if not (folder / "run.json").exists():
        return "before the first"
    stages = open_run(folder).manifest()["stages"]
    begun = [name for name, stage in stages.items() if stage["state"] != "done"]
    return begun[-1] if begun else f"after {[*stages, 'nothing'][-2 if stages else 0]}"


if __name__ == "__main__":
    main()
