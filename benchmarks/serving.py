"""`make bench-servers`: the same items by our local engine, by ours over vLLM, and by lm-eval over the same server.

1. Start vLLM on the CPU, as examples/serving/cpu.sh does, once for each model and dtype.
2. Render the items of every cell (task/language), from a folder in our format or the demo data.
3. Each engine scores each cell, one at a time, in an order that turns with every repeat; over the server always from an
   empty prefix cache. Medians; prompt tokens and cached ones are those of the server's own metrics.
4. Log-probabilities over the server against ours here, in the same dtype and in float32, and answers that differ.

vLLM on two cores computes with one thread, so ours is also measured with one. lm-eval (`local-completions`) lets the
server compute every answer's whole prompt: with --baseline-items it scores that many items, and its seconds and tokens
are scaled up by length. The table says so.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from benchmarks.scoring import Worker, cell_prompts, characters, flips, largest_difference
from tests.models.vllm_server import vllm_server

from spillover.models.packaged_model import local_path

CELLS = [f"nli/{code}" for code in ("en", "de", "zh", "th")]
LOCAL, ONE_THREAD, SERVED, HARNESS = "ours", "ours, 1 thread", "ours over vLLM", "lm-eval over vLLM"


def measure(workers: Mapping[str, Worker], prompts: list[dict], baseline_items: int | None, repeats: int) -> dict:
    """Median seconds for all items by engine, and what else the first repeat says."""
    names = list(workers)
    few = prompts[:baseline_items] if baseline_items else prompts
    scale = characters(prompts) / characters(few)
    answers: dict[str, list[dict]] = {name: [] for name in names}
    for turn in range(repeats):
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            answers[name].append(workers[name].ask(few if name == HARNESS else prompts))
    row: dict = {"items": len(prompts), "seconds": {}, "tokens": {}, "cached": {}, "logprobs": {}}
    for name, own in answers.items():
        factor = scale if name == HARNESS else 1.0
        row["seconds"][name] = factor * statistics.median(answer["seconds"] for answer in own)
        row["logprobs"][name] = own[0]["logprobs"]
        if "cached" in own[0]:
            row["tokens"][name] = round(factor * own[0]["tokens"])
            row["cached"][name] = round(factor * own[0]["cached"])
    row["check_seconds"] = statistics.median(answer["check_seconds"] for answer in answers[SERVED])
    row["facts"] = answers[SERVED][0]["facts"]
    return row


def with_differences(row: dict, exact: list[list[float]]) -> dict:
    """The row with differences in place of log-probabilities. exact: ours here in float32."""
    logprobs = row.pop("logprobs")
    pairs = {
        "served, local": (logprobs[SERVED], logprobs[LOCAL]),
        "served, float32": (logprobs[SERVED], exact),
        "local, float32": (logprobs[LOCAL], exact),
    }
    if HARNESS in logprobs:
        n = len(logprobs[HARNESS])
        pairs["served, lm-eval"] = (logprobs[SERVED][:n], logprobs[HARNESS])
    differences = {
        name: {"largest": largest_difference(*pair), "flips": flips(*pair), "items": len(pair[0])}
        for name, pair in pairs.items()
    }
    return row | {"differences": differences}


def bench(model: str, dtype: str, options: argparse.Namespace, log: Path) -> list[dict]:
    """A row for every cell of one model in one dtype."""
    folder, rows = local_path(model), []
    settings = {"DTYPE": dtype, "VLLM_SERVER_DEV_MODE": "1"}  # for /reset_prefix_cache
    exact = Worker(sys.executable, "ours", folder, "float32")
    with vllm_server(folder, log, python=options.vllm_python, **settings) as server:
        workers = {
            LOCAL: Worker(sys.executable, "ours", folder, dtype),
            ONE_THREAD: Worker(sys.executable, "ours", folder, dtype, OMP_NUM_THREADS="1"),
            SERVED: Worker(sys.executable, "served", folder, dtype, server.url),
        }
        if options.lm_eval_python:
            workers[HARNESS] = Worker(options.lm_eval_python, "lm-eval-served", folder, dtype, server.url)
        for cell in options.cells:
            prompts = cell_prompts(options.data, cell, options.items)
            row = {"model": model, "dtype": dtype, "cell": cell}
            row |= measure(workers, prompts, options.baseline_items, options.repeats)
            rows.append(with_differences(row, exact.ask(prompts)["logprobs"]))
            print(f"{model} {dtype} {cell}: done", file=sys.stderr)
        for worker in (*workers.values(), exact):
            worker.end()
    return rows


def table(rows: list[dict]) -> str:
    engines = list(rows[0]["seconds"])
    over = list(rows[0]["tokens"])
    apart = list(rows[0]["differences"])
    header = ["cell", "items", *(f"{name}, s" for name in engines), "checks, s"]
    header += [f"{name}: tokens (cached)" for name in over]
    header += [f"{name}: apart (flips)" for name in apart]
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    for row in rows:
        cells = [row["cell"], str(row["items"]), *(f"{row['seconds'][name]:.1f}" for name in engines)]
        cells += [f"{row['check_seconds']:.1f}"]
        cells += [f"{row['tokens'][name]:,} ({share(row, name):.0f} %)" for name in over]
        differences = [row["differences"][name] for name in apart]
        cells += [f"{one['largest']:.2g} ({one['flips']} of {one['items']})" for one in differences]
        lines.append("| " + " | ".join(cells) + " |")
    totals = [f"{sum(row['seconds'][name] for row in rows):.1f}" for name in engines]
    items = str(sum(row["items"] for row in rows))
    lines.append("| " + " | ".join(["all", items, *totals, *[""] * (len(header) - 2 - len(totals))]) + " |")
    return "\n".join(lines)


def share(row: dict, name: str) -> float:
    """Cached tokens in per cent of those sent."""
    return 100 * row["cached"][name] / row["tokens"][name]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--model", nargs="+", default=["smollm2-135m", "gemma3-270m"], help="packaged models or folders"
    )
    parser.add_argument("--dtype", nargs="+", default=["float32", "bfloat16"], choices=["bfloat16", "float32"])
    parser.add_argument("--data", default="demo", help="demo, or a folder in our format")
    parser.add_argument("--cells", nargs="+", default=CELLS, help="task/language")
    parser.add_argument("--items", type=int, default=96)
    parser.add_argument("--baseline-items", type=int, help="score so many with lm-eval, and scale")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--vllm-python", required=True, help="Python of the environment that has vLLM")
    parser.add_argument("--lm-eval-python", help="Python of the environment that has lm-eval; left out without it")
    parser.add_argument("--out", type=Path, default=Path("runs/bench/serving.json"))
    options = parser.parse_args()
    options.out.parent.mkdir(parents=True, exist_ok=True)
    rows: list[dict] = []
    with tempfile.TemporaryDirectory() as folder:
        for model in options.model:
            for dtype in options.dtype:
                found = bench(model, dtype, options, Path(folder) / f"{dtype}.txt")
                rows += found
                options.out.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")
                print(f"\n{model}, {dtype}\n\n{table(found)}", flush=True)
    if options.baseline_items:
        print(f"\nlm-eval scored {options.baseline_items} items a cell; its seconds and tokens are scaled.")


if __name__ == "__main__":
    main()
