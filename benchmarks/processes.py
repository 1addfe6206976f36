"""One process with a worker on each core, against a process for each core: seconds to score the same items.

    python -m benchmarks.processes --model gemma3-270m --repeats 3 --data data/paper --items 100

1. Start every process, load the model, and score each of its languages once with few items, so that nothing is new.
2. In turn: one process scores all languages with all threads; as many processes as there are threads score a share of
   the languages each, one thread each. The clock runs until the last is done, loading not counted.
3. Medians, and the largest difference between their log-probabilities.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time

import numpy as np
import torch

from spillover.models.load import load_model
from spillover.stages.evaluate.stage import evaluate
from spillover.tasks.benchmark import open_benchmark
from spillover.tasks.examples import DEMO


class Scorer:
    """A process that has the model loaded. In: lines of a benchmark's options as JSON; out: log-probabilities."""

    def __init__(self, model: str, threads: int) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.processes", "--model", model, "--score"],
            env=os.environ | {"OMP_NUM_THREADS": str(threads)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def send(self, **options: object) -> None:
        """Begin to score."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(options) + "\n")
        self.process.stdin.flush()

    def answer(self) -> dict[str, list[list[float]]]:
        """Log-probabilities by language, once they are there."""
        assert self.process.stdout is not None
        answer: dict[str, list[list[float]]] = json.loads(self.process.stdout.readline())
        return answer


def score(model_name: str) -> None:
    """What a `Scorer` runs."""
    model = load_model(model_name)
    for line in sys.stdin:
        scores = evaluate(model, open_benchmark(**json.loads(line))).scores
        print(json.dumps({code: found.logprobs.tolist() for code, found in scores.items()}), flush=True)


def timed(scorers: list[Scorer], shares: list[list[str]], **options: object) -> tuple[float, dict]:
    """(seconds until the last is done, log-probabilities by language)."""
    started = time.perf_counter()
    for scorer, languages in zip(scorers, shares, strict=True):
        scorer.send(languages=languages, **options)
    found = [scorer.answer() for scorer in scorers]
    return time.perf_counter() - started, {code: value for part in found for code, value in part.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="gemma3-270m")
    parser.add_argument("--task", default="sentiment")
    parser.add_argument("--data", default=DEMO)
    parser.add_argument("--languages", default="de,zh,sw,th")
    parser.add_argument("--items", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--score", action="store_true", help="be the process that scores")
    arguments = parser.parse_args()
    if arguments.score:
        score(arguments.model)
        return
    threads = torch.get_num_threads()
    languages = arguments.languages.split(",")
    options = {"task": arguments.task, "data": arguments.data}
    ways = {
        f"1 process, {threads} threads": ([Scorer(arguments.model, threads)], [languages]),
        f"{threads} processes, 1 thread each": (
            [Scorer(arguments.model, 1) for _ in range(threads)],
            [languages[i::threads] for i in range(threads)],
        ),
    }
    for way in ways.values():
        timed(*way, limit=4, **options)
    results: dict[str, list[tuple[float, dict]]] = {name: [] for name in ways}
    for turn in range(arguments.repeats):
        for name in sorted(ways, reverse=bool(turn % 2)):
            results[name].append(timed(*ways[name], limit=arguments.items, **options))
            print(f"{name}: {results[name][-1][0]:.1f} s", flush=True)
    seconds = [statistics.median(took for took, _ in found) for found in results.values()]
    one, several = (found[0][1] for found in results.values())
    difference = max(float(np.abs(np.subtract(one[code], several[code])).max()) for code in languages)
    print(f"medians: {seconds[0]:.1f} s and {seconds[1]:.1f} s, processes {seconds[0] / seconds[1]:.2f} times as fast")
    print(f"largest difference of a log-probability: {difference:.2g}")


if __name__ == "__main__":
    main()
