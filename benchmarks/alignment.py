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

LANGUAGES, ITEMS, HIDDEN = 20, 100, 576
POOLINGS = ["last", "weighted"]


def cost(layers: int) -> None:
    rng = np.random.default_rng(0)
    codes = [f"x{i}" for i in range(LANGUAGES)]
    meaning = rng.normal(size=(ITEMS, HIDDEN))
    states = [
        (meaning + 0.8 * rng.normal(size=(LANGUAGES, ITEMS, HIDDEN)) + 3).astype(np.float32) for _ in range(layers)
    ]
    lengths = {code: rng.integers(20, 80, ITEMS) for code in codes}
    common = {
        "lengths": lengths, "example_ids": [str(i) for i in range(ITEMS)], "layers": range(layers),
        "poolings": POOLINGS, "rng": rng,
    }  # fmt: skip

    def read(_: str, layer: int) -> dict[str, np.ndarray]:
        return dict(zip(codes, states[layer], strict=True))

    def array(_: str, layer: int) -> np.ndarray:
        return states[layer]

    own = {key: value for key, value in common.items() if key not in ("lengths", "example_ids")}
    stacked = np.stack(list(lengths.values()))
    reference = [(code, codes[0]) for code in codes[1:]]
    report(
        "alignment with one language", lambda: alignment_tables(read, pairs=reference, random_weights=read, **common)
    )
    report("identity", lambda: identity_table(array, lengths=stacked, languages=codes, random_weights=array, **own))
    every = list(combinations(codes, 2))
    report("alignment, all pairs", lambda: alignment_tables(read, pairs=every, random_weights=read, **common))
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB")


def report(name: str, work: Callable[[], object]) -> None:
    cpu, wall = time.process_time(), time.perf_counter()
    work()
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    print(f"{name:<30} {cpu:6.1f} s of processor {wall:6.1f} s of wall clock", flush=True)


def false_alarms(trials: int) -> None:
    """Two languages of unrelated noise, beside other noise as the untrained model."""
    found = []
    for seed in range(trials):
        rng = np.random.default_rng(seed)
        states, untrained = ({c: rng.normal(size=(ITEMS, 200)) + rng.normal(size=200) for c in "xy"} for _ in range(2))
        lengths = {"x": rng.integers(20, 120, ITEMS)}
        lengths["y"] = np.round(lengths["x"] * 1.3 + 2 * rng.normal(size=ITEMS)).astype(int)
        table, _ = alignment_tables(
            lambda *_, own=states: own, lengths=lengths, example_ids=[str(i) for i in range(ITEMS)], pairs=[("x", "y")],
            poolings=["last"], layers=[0], rng=rng, random_weights=lambda *_, own=untrained: own,
        )  # fmt: skip
        way = np.where(table["measure"] == "procrustes", -1, 1)
        found.append(table.assign(over_shuffles=way * (table["value"] - table["shuffled_limit"]) > 1e-9))
    columns = ["value", "shuffled", "over_shuffles", "clears"]
    print(pd.concat(found).groupby("measure", sort=False)[columns].mean().round(3).to_string())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--layers", type=int, default=31)
    parser.add_argument("--trials", type=int, default=200)
    options = parser.parse_args()
    cost(options.layers)
    false_alarms(options.trials)


if __name__ == "__main__":
    main()
