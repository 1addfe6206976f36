"""A small run, killed at random moments and resumed, must end as an uninterrupted one: `make chaos`.

Each run is `spillover run` of all stages (audit to report) on a tiny random model, in a process of its own, killed with
SIGKILL after a random time, up to `KILLS` times, and then resumed to its end. Compared byte by byte are all tables, the
adapter and merged weights, pairs, findings and verdict; not compared are run.json, log.jsonl, steps.jsonl and the page,
which hold times. No file may be left over that an uninterrupted run has not.

CHAOS="--runs 20 --seed 1"; a run that failed is kept under chaos-failures/.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import torch
from tests.builders import save_model, small_data
from tests.fuzz.running import fork_command

from spillover.core.runs import open_run

KILLS = 3
TIMED = {"run.json", "log.jsonl", "report.html", "train/steps.jsonl"}


@dataclass
class Tally:
    """What happened over all runs. stages: in which stage each kill fell."""

    runs: int = 0
    kills: int = 0
    stages: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)


def main() -> None:
    """Kill and resume, print what happened, and exit with 1 where a run ended otherwise."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, default=Path("chaos-failures"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as place:
        tally = chaos(Path(place), options.runs, options.seed, options.keep)
    print(f"{tally.runs} runs, {tally.kills} kills, {len(tally.failures)} failures")
    print("kills by stage: " + ", ".join(f"{stage} {count}" for stage, count in tally.stages.most_common()))
    print("\n".join(tally.failures))
    raise SystemExit(bool(tally.failures))


def chaos(place: Path, runs: int, seed: int, keep: Path | None = None) -> Tally:
    """So many runs in the empty folder `place`, each killed and resumed."""
    write_input(place)
    started = time.monotonic()
    code = finish(place, "whole")
    seconds = time.monotonic() - started
    if code:
        raise SystemExit(f"the uninterrupted run ends with {code}")
    wanted = contents(place / "whole")
    tally = Tally()
    for number in range(runs):
        rng = random.Random(f"{seed} {number}")
        for _ in range(rng.randint(1, KILLS)):
            if kill_after(place, "killed", rng.uniform(0, seconds)):
                tally.kills += 1
                tally.stages[stage_of(place / "killed")] += 1
        code = finish(place, "killed")
        problems = [f"exit code {code}"] if code else differences(contents(place / "killed"), wanted)
        if problems:
            tally.failures.append(f"run {number}: {'; '.join(problems)}")
            if keep:
                shutil.copytree(place / "killed", keep / f"{seed}-{number}", dirs_exist_ok=True)
        tally.runs += 1
        shutil.rmtree(place / "killed")
    return tally


def write_input(place: Path) -> None:
    """Model, data and config of the smallest run that goes through all stages."""
    save_model(place / "model")
    small_data(place / "data", items=4)
    (place / "run.yaml").write_text(
        "data: data\nmodel: {name: model, dtype: float32, device: cpu}\nbuild: {sources: [de]}\nprobe: {items: 3}\n"
        "train: {epochs: 4, batch: 2, learning_rate: 0.01, validation: 0.0, checkpoint_steps: 2}\n"
        "compare: {draws: 50}\n"
    )


def finish(place: Path, name: str) -> int:
    """Run to the end; the exit code."""
    return fork_command(["run", "run.yaml", "--out", name], place, place / "output").wait()


def kill_after(place: Path, name: str, seconds: float) -> bool:
    """Run, and kill it after so many seconds; whether it was still running."""
    child = fork_command(["run", "run.yaml", "--out", name], place, place / "output")
    time.sleep(seconds)
    os.kill(child.pid, signal.SIGKILL)
    return child.wait() == -signal.SIGKILL


def stage_of(folder: Path) -> str:
    """The stage that a killed run was in, as its manifest says."""
    if not (folder / "run.json").exists():
        return "before the first"
    stages = open_run(folder).manifest()["stages"]
    started = [name for name, stage in stages.items() if stage["state"] != "done"]
    return started[-1] if started else f"after {[*stages, 'nothing'][-2 if stages else 0]}"


def contents(folder: Path) -> dict[str, bytes]:
    """The bytes of every file by its path; of those that hold times, only that they are there."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    names = [path.relative_to(folder).as_posix() for path in files]
    return {name: b"" if name in TIMED else path.read_bytes() for name, path in zip(names, files, strict=True)}


def differences(found: dict[str, bytes], wanted: dict[str, bytes]) -> list[str]:
    """What is left over, missing, or has other bytes."""
    return [
        *(f"left over: {name}" for name in found if name not in wanted),
        *(f"missing: {name}" for name in wanted if name not in found),
        *(f"other bytes: {name}" for name in wanted if name in found and found[name] != wanted[name]),
    ]


if __name__ == "__main__":
    main()
