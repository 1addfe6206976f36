"""One process with a worker on each core, against a process for each core: seconds to score the same items.

    python -m benchmarks.processes --model gemma3-270m --repeats 3 --data data/paper --items 100

1. Start every process, and let it score a few items of its cells once, so that nothing is new.
2. In turn: one process scores all cells with all threads; as many processes as there are threads score a share of the
   cells each, one thread each. The clock runs until the last is done, loading not counted.
3. Medians, and the largest difference between their log-probabilities.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import torch
from benchmarks.scoring import Worker, cell_prompts, largest_difference

from spillover.models.packaged_model import local_path

Prompts = dict[str, list[dict]]


def timed(workers: Sequence[Worker], shares: Sequence[Sequence[str]], prompts: Prompts) -> tuple[float, dict]:
    """(seconds until the last worker is done, log-probabilities by cell). shares: each worker's cells."""

    def score(worker: Worker, cells: Sequence[str]) -> dict[str, list[list[float]]]:
        return {cell: worker.ask(prompts[cell])["logprobs"] for cell in cells}

    started = time.perf_counter()
    with ThreadPoolExecutor(len(workers)) as pool:
        parts = list(pool.map(score, workers, shares))
    return time.perf_counter() - started, {cell: found for part in parts for cell, found in part.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="gemma3-270m", help="a packaged model or a folder")
    parser.add_argument("--dtype", default="bfloat16")
    parser.add_argument("--data", default="demo", help="demo, or a folder in our format")
    parser.add_argument("--cells", nargs="+", default=[f"sentiment/{code}" for code in ("de", "zh", "sw", "th")])
    parser.add_argument("--items", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    threads = torch.get_num_threads()
    prompts = {cell: cell_prompts(options.data, cell, options.items) for cell in options.cells}

    def workers(count: int, threads: int) -> list[Worker]:
        arguments = (sys.executable, "ours", local_path(options.model), options.dtype)
        return [Worker(*arguments, OMP_NUM_THREADS=str(threads)) for _ in range(count)]

    shares = [options.cells[i::threads] for i in range(threads)]
    ways = {
        f"1 process, {threads} threads": (workers(1, threads), [options.cells]),
        f"{threads} processes, 1 thread each": (workers(threads, 1), shares),
    }
    for way in ways.values():
        timed(*way, {cell: found[:4] for cell, found in prompts.items()})
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    logprobs: dict[str, dict] = {}
    for turn in range(options.repeats):
        for name in sorted(ways, reverse=bool(turn % 2)):
            took, logprobs[name] = timed(*ways[name], prompts)
            seconds[name].append(took)
            print(f"{name}: {took:.1f} s", flush=True)
    one, several = (statistics.median(times) for times in seconds.values())
    print(f"medians: {one:.1f} s and {several:.1f} s, processes {one / several:.2f} times as fast")
    first, second = logprobs.values()
    apart = max(largest_difference(first[cell], second[cell]) for cell in options.cells)
    print(f"largest difference of a log-probability: {apart:.2g}")
    for worker in (worker for found, _ in ways.values() for worker in found):
        worker.end()


if __name__ == "__main__":
    main()
