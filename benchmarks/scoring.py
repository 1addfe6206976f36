"""`make bench`: what the shared prefix and the unembedding at needed positions save, on the packaged model.

Both ways score the same prompts in turn, and medians of ratios are printed: times on shared machines drift.
"""

from __future__ import annotations

import statistics
import time

import torch

from spillover.models.load import load_model
from spillover.models.local import LocalEngine
from spillover.tasks.examples import load_parallel
from spillover.tasks.prompts import render
from spillover.tasks.wording import load_task

REPEATS = 3


def seconds(work) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def main() -> None:
    model = load_model()
    square = torch.randn(2048, 2048, dtype=model.dtype)
    products = min(seconds(lambda: [square @ square for _ in range(10)]) for _ in range(3))
    print(f"matrix products: {2 * 2048**3 * 10 / products / 1e9:.0f} GFLOP/s in {model.dtype}")
    print(f"{'task':<12}{'tokens':>8}{'tokens/s':>10}{'against whole prompts':>24}")
    for name in ("sentiment", "nli", "paraphrase"):
        task = load_task(name)
        examples = load_parallel("demo", task, "test", ["en"])["en"]
        prompts = render(task, examples, label_set="english")
        shared, whole = LocalEngine(model), LocalEngine(model, prefix_cache=False)
        plan = shared.plan(prompts)
        tokens = plan.tokens()
        list(shared.score(prompts))  # the first pass also checks itself against whole prompts
        times = [(seconds(lambda: list(shared.score(prompts))), seconds(lambda: list(whole.score(prompts)))) for _ in range(REPEATS)]  # noqa: B023, E501  # fmt: skip
        fast = statistics.median(first for first, _ in times)
        ratio = statistics.median(second / first for first, second in times)
        print(f"{name:<12}{tokens:>8}{tokens / fast:>10.0f}{ratio:>22.1f} x")


if __name__ == "__main__":
    main()
