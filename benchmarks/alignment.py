"""What alignment and language identity cost at the packaged model's size, and how often unrelated states clear a null.

python -m benchmarks.alignment [--trials 200] [--layers 31]. Made-up states: no model is loaded.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Callable
from itertools import combinations

import numpy as np
import pandas as pd

from spillover.stages.probe.alignment_tables import alignment_tables
from spillover.stages.probe.language_identity import identity_table
from spillover.stages.probe.parallel_states import ParallelStates

LANGUAGES, ITEMS, HIDDEN = 20, 100, 576
POOLINGS = ["last", "weighted"]
IDS = [str(i) for i in range(ITEMS)]


def cost(layers: int) -> None:
    rng = np.random.default_rng(0)
    codes = [f"x{i}" for i in range(LANGUAGES)]
    meaning = rng.normal(size=(ITEMS, HIDDEN))
    states = [
        (meaning + 0.8 * rng.normal(size=(LANGUAGES, ITEMS, HIDDEN)) + 3).astype(np.float32) for _ in range(layers)
    ]
    lengths = {code: rng.integers(20, 80, ITEMS) for code in codes}

    def read(_: str, layer: int) -> dict[str, np.ndarray]:
        return dict(zip(codes, states[layer], strict=True))

    parallel = ParallelStates(read, lengths, IDS, POOLINGS, range(layers))
    reference = [(code, codes[0]) for code in codes[1:]]
    report("alignment with one language", lambda: alignment_tables(parallel, reference, rng=rng, random_weights=read))
    report("identity", lambda: identity_table(parallel, rng=rng, random_weights=read))
    every = list(combinations(codes, 2))
    report("alignment, all pairs", lambda: alignment_tables(parallel, every, rng=rng, random_weights=read))
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB")


def report(name: str, work: Callable[[], object]) -> None:
    cpu, wall = time.process_time(), time.perf_counter()
    work()
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    print(f"{name:<30} {cpu:6.1f} s of processor {wall:6.1f} s of wall clock", flush=True)


def false_alarms(trials: int) -> None:
    """Two languages of unrelated noise, with other noise as the randomly initialised model."""
    tables = []
    for seed in range(trials):
        rng = np.random.default_rng(seed)
        states, untrained = ({c: rng.normal(size=(ITEMS, 200)) + rng.normal(size=200) for c in "xy"} for _ in range(2))
        lengths = {"x": rng.integers(20, 120, ITEMS)}
        lengths["y"] = np.round(lengths["x"] * 1.3 + 2 * rng.normal(size=ITEMS)).astype(int)
        parallel = ParallelStates(lambda *_, states=states: states, lengths, IDS, ["last"], [0])
        table, _ = alignment_tables(parallel, [("x", "y")], rng=rng, random_weights=lambda *_, states=untrained: states)
        sign = np.where(table["measure"] == "procrustes", -1, 1)
        tables.append(table.assign(over_shuffles=sign * (table["value"] - table["shuffled_limit"]) > 1e-9))
    columns = ["value", "shuffled", "over_shuffles", "clears"]
    print(pd.concat(tables).groupby("measure", sort=False)[columns].mean().round(3).to_string())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--layers", type=int, default=31)
    parser.add_argument("--trials", type=int, default=200)
    options = parser.parse_args()
    cost(options.layers)
    false_alarms(options.trials)


if __name__ == "__main__":
    main()
