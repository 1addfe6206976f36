"""Damaged input files by the hundred: each must end in success or in one message with exit code 2, 3 or 4, within its
bounds of time and memory, with nothing half-written. `make fuzz`; FUZZ="--inputs 2000 --seed 1 --only config".

A failing input is kept under fuzz-failures/, with what it said.
"""

from __future__ import annotations

import argparse
import random
import shutil
import tempfile
from collections import Counter
from pathlib import Path

import torch
from tests.fuzz.mutations import damaged
from tests.fuzz.running import Ending, faults, files_of, run_command
from tests.fuzz.targets import TARGETS, Target


def main() -> None:
    """Fuzz, print a table, and exit with 1 where an input failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=620, help="how many inputs")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="targets whose name holds this")
    parser.add_argument("--keep", type=Path, default=Path("fuzz-failures"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    targets = {name: target for name, target in TARGETS.items() if options.only in name}
    failures = 0
    print(f"{'target':26} inputs  exit 0  2  3  4  failed  slowest")
    with tempfile.TemporaryDirectory() as place:
        for name, target in targets.items():
            count = -(-options.inputs // len(targets))
            failures += fuzz(name, target, count, options.seed, Path(place), options.keep)
    print(f"{failures} failures" if failures else "no failures")
    raise SystemExit(failures > 0)


def fuzz(name: str, target: Target, count: int, seed: int, place: Path, keep: Path) -> int:
    """Run a target on so many damaged inputs; how many failed."""
    good = place / "good" / name
    good.mkdir(parents=True)
    target.make(good)
    ending = run_command(target.command.split(), shutil.copytree(good, place / "whole"))
    shutil.rmtree(place / "whole")
    if ending.code not in target.ends:
        raise SystemExit(f"{name}: the good input ends with {ending.code}:\n{ending.output}")
    codes: Counter[int] = Counter()
    failed, slowest = 0, 0.0
    for number in range(count):
        ending, problems = one_input(target, good, place / "input", random.Random(f"{name} {seed} {number}"))
        codes[ending.code] += 1
        slowest = max(slowest, ending.seconds)
        if problems:
            failed += 1
            _keep(keep / f"{name.replace(' ', '-')}-{seed}-{number}", place / "input" / target.file, ending, problems)
            print(f"  {name} {number}: {'; '.join(problems)}")
        shutil.rmtree(place / "input")
    counts = "  ".join(f"{codes[code]}" for code in (0, 2, 3, 4))
    print(f"{name:26} {count:6}  {counts:>14}  {failed:6}  {slowest:5.1f} s", flush=True)
    return failed


def one_input(target: Target, good: Path, folder: Path, rng: random.Random) -> tuple[Ending, list[str]]:
    """Run a target on one damaged copy of its input, in `folder`: (how it ended, what is wrong with that)."""
    shutil.copytree(good, folder)
    path = folder / target.file
    path.write_bytes(damaged(path.read_bytes(), path.suffix, rng))
    before = files_of(folder)
    ending = run_command(target.command.split(), folder)
    return ending, faults(ending, folder, before, target.made)


def _keep(folder: Path, path: Path, ending: Ending, problems: list[str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(path, folder / path.name)
    (folder / "output.txt").write_text("\n".join([*problems, "", ending.output]), encoding="utf-8")


if __name__ == "__main__":
    main()
