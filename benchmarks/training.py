"""`make bench-train`: our training against TRL's SFTTrainer and LLaMA-Factory, on the same pairs with the same adapter.

1. Question-translation pairs from a folder in our format (SNLI questions in five languages), or from the demo data.
2. One process per trainer, in an environment of its own; only one of them works at a time, in an order that turns.
3. Each tunes q/v LoRA of rank 8 on the same rows: batch 16, one precision, constant rate.
4. Real tokens a second (padding not counted), memory beyond the loaded weights, loss by steps, and the share of the
   rate of a square matrix product that was reached, measured in the same process right after.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

from spillover.core.config import BuildConfig
from spillover.models.packaged_model import local_path
from spillover.stages.build import build_pairs
from spillover.tasks.benchmark import open_benchmark

HERE = Path(__file__).parent
SOURCES = ["zh", "de", "es", "it", "sw"]


def make_rows(data: str, rows: int) -> list[dict]:
    if data == "demo":
        pairs = build_pairs("sentiment", languages="all", config=BuildConfig(overlap="drop"))[:rows]
    else:
        config = BuildConfig(pairs=-(-rows // len(SOURCES)), overlap="drop")
        pairs = build_pairs(open_benchmark("nli", data=data), languages=SOURCES, config=config)[:rows]
    return [{"id": pair.id, "prompt": pair.prompt, "completion": pair.completion} for pair in pairs]


def run(python: str, trainer: str, model: str, dtype: str, rows: Path, folder: Path) -> dict | None:
    command = [python, str(HERE / "training_worker.py"), trainer, model, dtype, str(rows), str(folder)]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = [line for line in answer.stdout.splitlines() if line.startswith('{"seconds"')]
    if answer.returncode or not lines:
        print(f"{trainer} ended early, and is left out:\n{answer.stderr[-3000:]}", file=sys.stderr)
        return None
    return json.loads(lines[-1])


def table(results: dict[str, list[dict]]) -> str:
    header = [
        "trainer",
        "tokens/s",
        "ours is",
        "extra MiB",
        "loss, first steps",
        "loss, last steps",
        "cube GFLOP/s",
        "share",
    ]
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    speeds = {name: statistics.median(row["tokens"] / row["seconds"] for row in rows) for name, rows in results.items()}
    for name, rows in results.items():
        row = rows[0]
        tenth = max(1, len(row["losses"]) // 5)
        first, last = statistics.fmean(row["losses"][:tenth]), statistics.fmean(row["losses"][-tenth:])
        cube = statistics.median(row["cube"] for row in rows)
        share = statistics.median(row["operations"] / row["seconds"] / row["cube"] for row in rows)
        cells = [
            name,
            f"{speeds[name]:.0f}",
            f"{speeds['ours'] / speeds[name]:.2f} x",
            f"{max(r['extra_mib'] for r in rows):.0f}",
        ]
        lines.append(
            "| "
            + " | ".join([*cells, f"{first:.3f}", f"{last:.3f}", f"{cube / 1e9:.0f}", f"{100 * share:.0f} %"])
            + " |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="smollm2-135m", help="a packaged model, a folder or a .gguf file")
    parser.add_argument("--dtype", default="bfloat16", choices=["bfloat16", "float32"], help="of all trainers")
    parser.add_argument("--data", default="demo", help="demo, or a folder in our format")
    parser.add_argument("--rows", type=int, default=320)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--trl-python", help="Python of the environment that has trl")
    parser.add_argument("--llamafactory-python", help="Python of the environment that has llamafactory")
    parser.add_argument("--one-thread", action="store_true", help="processor time of one thread, for a busy machine")
    parser.add_argument("--out", type=Path, default=Path("runs/bench/training"))
    options = parser.parse_args()
    if options.one_thread:
        os.environ |= {"BENCH_PROCESSOR_TIME": "1", "OMP_NUM_THREADS": "1"}
    pythons = {"ours": sys.executable, "trl": options.trl_python, "llamafactory": options.llamafactory_python}
    for name in [name for name, python in pythons.items() if not python or not Path(python).exists()]:
        print(f"{name}: no environment, left out", file=sys.stderr)
        pythons.pop(name)
    rows = make_rows(options.data, options.rows)
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / "rows.jsonl"
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    names = list(pythons)
    results: dict[str, list[dict]] = {name: [] for name in names}
    for turn in range(options.repeats):
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            folder = options.out / f"{name}-{turn}"
            measured = run(pythons[name], name, local_path(options.model), options.dtype, path, folder)
            results[name] += [measured] if measured else []
            (options.out / "results.json").write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
            print(f"{name}: done", file=sys.stderr)
    print(table({name: rows for name, rows in results.items() if rows}))
    if options.one_thread:
        print("\nOne thread each; seconds are processor time.")
    print(
        f"\n{len(rows)} rows, batch 16, q/v LoRA rank 8, {options.model}, {options.dtype}, {options.repeats} round(s)."
    )


if __name__ == "__main__":
    main()
