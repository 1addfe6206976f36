"""`make bench`: our scoring against the paper's way and lm-evaluation-harness, on the same prompts and labels.

1. Render the items of every cell (task/language), from a folder in our format or the demo data.
2. Start one process per engine; only one of them works at a time, in an order that turns with every repeat.
3. Each scores each cell; medians over the repeats, ratios, tokens, share of the matrix-product rate, memory.
4. A few items of each cell are also scored whole in float32: what the shared prefix and 16 bits change.
5. Items with answers of their own (a cell of choices, with shots, and one of pairs) are also scored by lm-eval in
   float32: its log-likelihoods must be ours, to 1e-4 a token. The paper's way does not know them.
6. One model after the other, a table for each; at the end the ratios of all, a column per model.

The baselines share nothing between items, so their time grows with the text: with --baseline-items they score that many
of them, and the seconds are scaled up by length. The table says so.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from spillover.core.types import Example, Prompt
from spillover.models.packaged_model import local_path
from spillover.tasks.examples import DEMO, data_folder, language_files, load_parallel
from spillover.tasks.prompts import render
from spillover.tasks.wording import load_task

HERE = Path(__file__).parent
LABEL_CELLS = [f"{task}/{code}" for task in ("sentiment", "nli", "paraphrase") for code in ("en", "de", "zh", "th")]
CELLS = [*LABEL_CELLS, "copa/en", "blimp/all"]
BASELINES = ("paper", "lm-eval")
EQUAL = 1e-4
"""How far a token's mean log-probability may be from lm-eval's, in float32."""


class Worker:
    """One engine in a process of its own: a request a line in, an answer a line out."""

    def __init__(self, python: str, *arguments: str, **environment: str) -> None:
        command = [python, str(HERE / "scoring_worker.py"), *arguments]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=os.environ | environment
        )

    def ask(self, prompts: list[dict], **options: object) -> dict:
        self.process.stdin.write(json.dumps({"prompts": prompts} | options) + "\n")
        self.process.stdin.flush()
        while line := self.process.stdout.readline():
            if line.startswith("{"):
                return json.loads(line)
        raise SystemExit("a benchmark process ended early; its own message is above")

    def end(self) -> None:
        self.process.stdin.close()
        self.process.wait()


def cell_prompts(data: str, cell: str, items: int) -> list[dict]:
    """The prompts of a cell, from the demo data where the folder has no such task. Pairs have no wording, so that those
    of all languages may stand together."""
    name, code = cell.split("/")
    task = load_task(name)
    data = data if (data_folder(data) / name).is_dir() else DEMO
    codes = list(language_files(data, task, "test")) if code == "all" else [code]
    by_language = load_parallel(data, task, "test", codes, limit=items)
    rows = [row for rows in zip(*by_language.values(), strict=True) for row in rows]
    if task.kind == "choices":
        rows = crossed(rows, items)
    prompts = [prompt for row in rows[:items] for prompt in render(task, [row], label_set="english")]
    return [as_dict(prompt, task.kind) for prompt in prompts]


def crossed(rows: list[Example], items: int) -> list[Example]:
    """Up to `items` of them: the rows, then each question with the answers of another, as there are few demo items."""
    n = len(rows)
    return [
        replace(row, id=f"{row.id}-{step}", choices=rows[(i + step) % n].choices)
        for step in range(n)
        for i, row in enumerate(rows)
    ][:items]


def as_dict(prompt: Prompt, kind: str) -> dict:
    where = f"{prompt.language}-{prompt.example_id}"
    return {"prefix": prompt.prefix, "body": prompt.body, "answers": prompt.answers, "id": where, "kind": kind}


def largest_difference(first: list[list[float]], second: list[list[float]]) -> float:
    return max(abs(a - b) for one, other in zip(first, second, strict=True) for a, b in zip(one, other, strict=True))


def flips(first: list[list[float]], second: list[list[float]]) -> int:
    return sum(
        max(range(len(one)), key=one.__getitem__) != max(range(len(other)), key=other.__getitem__)
        for one, other in zip(first, second, strict=True)
    )


def characters(prompts: list[dict]) -> int:
    """The length of all prompts with all their answers, by which the baselines' seconds are scaled: a few items may be
    shorter than most."""
    return sum(len(prompt["prefix"] + prompt["body"] + answer) for prompt in prompts for answer in prompt["answers"])


def measure(workers: dict[str, Worker], prompts: list[dict], baseline_items: int | None, repeats: int) -> dict:
    """Median seconds for all items, and tokens, by engine; for ours also the share of the products' rate and memory."""
    kind = prompts[0]["kind"]
    names = [name for name in workers if name != "paper" or kind == "labels"]
    few = prompts[:baseline_items] if baseline_items else prompts
    answers: dict[str, list[dict]] = {name: [] for name in names}
    for turn in range(repeats):
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            answers[name].append(workers[name].ask(few if name in BASELINES else prompts))
    row: dict = {"items": len(prompts), "kind": kind}
    for name, own in answers.items():
        scale = characters(prompts) / characters(few) if name in BASELINES else 1.0
        row[f"{name}_seconds"] = scale * statistics.median(answer["seconds"] for answer in own)
        row[f"{name}_tokens"] = round(scale * own[0]["tokens"])
    row["share"] = statistics.median(answer["share"] for answer in answers["ours"])
    row["extra_mib"] = max(answer["extra_mib"] for answer in answers["ours"])
    row["logprobs"] = answers["ours"][0]["logprobs"]
    return row


def check(exact: Worker, harness: Worker | None, row: dict, prompts: list[dict], items: int) -> dict:
    """Ours in float32 and as it was timed against whole prompts in float32; of items with answers of their own, all of
    them against lm-eval's too."""
    few = prompts[:items] if row["kind"] == "labels" else prompts
    answer = exact.ask(few)
    whole, shared = exact.ask(few, prefix_cache=False)["logprobs"], answer["logprobs"]
    rounded = row.pop("logprobs")[: len(few)]
    apart = {}
    if harness is not None and row["kind"] != "labels":
        apart = {"harness_difference": harness_difference(shared, answer["label_tokens"], harness.ask(few)["logprobs"])}
    return apart | {
        "float32_difference": largest_difference(whole, shared),
        "rounded_difference": largest_difference(whole, rounded),
        "flips": flips(whole, rounded),
        "checked": len(few),
    }


def harness_difference(ours: list[list[float]], tokens: list[list[int]], theirs: list[list[float]]) -> float:
    """The largest difference a token. Ends the bench where it is more than rounding: then the texts are not the same,
    and no speed may be compared."""
    largest = max(
        abs(a - b) / n
        for rows in zip(ours, tokens, theirs, strict=True)
        for a, n, b in zip(*rows, strict=True)
    )  # fmt: skip
    if largest > EQUAL:
        raise SystemExit(f"lm-eval's log-likelihoods are {largest:.2g} a token from ours, more than {EQUAL:g}")
    return largest


def ratio(row: dict | None, name: str) -> str:
    """How many times as long a baseline takes; nothing where it cannot score such items."""
    return f"{row[f'{name}_seconds'] / row['ours_seconds']:.1f}" if row and f"{name}_seconds" in row else ""


def geometric_mean(rows: list[dict], name: str) -> float:
    """Over the cells with labels."""
    ratios = [row[f"{name}_seconds"] / row["ours_seconds"] for row in rows if row["kind"] == "labels"]
    return math.exp(statistics.fmean(map(math.log, ratios))) if ratios else math.nan


def ratios_by_model(rows: list[dict], baselines: list[str]) -> str:
    """The speed-up over each baseline by cell, a column per model and baseline, and their geometric means."""
    models = list(dict.fromkeys(row["model"] for row in rows))
    columns = [(model, name) for model in models for name in baselines]
    lines = ["| cell | " + " | ".join(f"{model}: x {name}" for model, name in columns) + " |"]
    lines.append("|" + "---|" * (len(columns) + 1))
    of_cell = {(row["model"], row["cell"]): row for row in rows}
    for cell in dict.fromkeys(row["cell"] for row in rows):
        found = [(of_cell.get((model, cell)), name) for model, name in columns]
        ratios = [ratio(row, name) for row, name in found]
        lines.append(f"| {cell} | " + " | ".join(ratios) + " |")
    means = [geometric_mean([row for row in rows if row["model"] == model], name) for model, name in columns]
    return "\n".join([*lines, "| geometric mean, labels | " + " | ".join(f"{mean:.1f}" for mean in means) + " |"])


def table(rows: list[dict], baselines: list[str]) -> str:
    header = ["cell", "items", *(f"{name}, s" for name in baselines), "ours, s", *(f"x {name}" for name in baselines)]
    header += [
        "tokens: " + ", ".join([*baselines, "ours"]),
        "share",
        "extra MiB",
        "fp32 apart",
        "lm-eval apart",
        "as run apart",
        "flips",
    ]
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    for row in rows:
        cells = [row["cell"], str(row["items"])]
        known = [name for name in (*baselines, "ours") if f"{name}_seconds" in row]
        cells += [f"{row[f'{name}_seconds']:.1f}" if name in known else "" for name in (*baselines, "ours")]
        cells += [ratio(row, name) for name in baselines]
        cells += [
            ", ".join(f"{row[f'{name}_tokens']:,}" for name in known),
            f"{100 * row['share']:.0f} %",
        ]
        cells += [f"{row['extra_mib']:.0f}", f"{row['float32_difference']:.1g}"]
        cells += [f"{row['harness_difference']:.1g} a token" if "harness_difference" in row else ""]
        cells += [f"{row['rounded_difference']:.2g}"]
        cells += [f"{row['flips']} of {row['checked']}"]
        lines.append("| " + " | ".join(cells) + " |")
    for name in baselines:
        if not math.isnan(mean := geometric_mean(rows, name)):
            lines.append(f"\nGeometric mean of the cells with labels against {name}: {mean:.1f} x.")
    return "\n".join(lines)


def bench_model(model: str, options: argparse.Namespace, before: list[dict]) -> list[dict]:
    """Every cell of one model. before: rows of other models, for the file of results."""
    folder, dtype = local_path(model), options.dtype
    workers = {name: Worker(sys.executable, name, folder, dtype) for name in ("ours", "paper")}
    if options.lm_eval_python:
        workers["lm-eval"] = Worker(options.lm_eval_python, "lm-eval", folder, dtype)
    exact = Worker(sys.executable, "ours", folder, "float32")
    harness = Worker(options.lm_eval_python, "lm-eval", folder, "float32") if options.lm_eval_python else None
    rows: list[dict] = []
    for cell in options.cells:
        prompts = cell_prompts(options.data, cell, options.items)
        row = {"model": model, "cell": cell} | measure(workers, prompts, options.baseline_items, options.repeats)
        rows.append(row | check(exact, harness, row, prompts, options.check_items))
        rows[-1].pop("logprobs", None)
        print(f"{model} {cell}: done", file=sys.stderr)
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(before + rows, indent=2) + "\n", encoding="utf-8")
    for worker in filter(None, (*workers.values(), exact, harness)):
        worker.end()
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", nargs="+", default=["smollm2-135m"], help="packaged models, folders or .gguf files")
    parser.add_argument("--dtype", default="bfloat16", choices=["bfloat16", "float32"], help="of all engines")
    parser.add_argument("--data", default="demo", help="demo, or a folder in our format")
    parser.add_argument("--cells", nargs="+", default=CELLS, help="task/language")
    parser.add_argument("--items", type=int, default=96)
    parser.add_argument("--baseline-items", type=int, help="score so many with the baselines, and scale")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--check-items", type=int, default=8)
    parser.add_argument("--lm-eval-python", help="Python of the environment that has lm-eval; left out without it")
    parser.add_argument("--one-thread", action="store_true", help="processor time of one thread, for a busy machine")
    parser.add_argument("--out", type=Path, default=Path("runs/bench/scoring.json"))
    options = parser.parse_args()
    if options.one_thread:
        os.environ |= {"BENCH_PROCESSOR_TIME": "1", "OMP_NUM_THREADS": "1"}
    rows: list[dict] = []
    baselines = list(BASELINES) if options.lm_eval_python else ["paper"]
    for model in options.model:
        rows += bench_model(model, options, rows)
        print(f"\n{model}, {options.dtype}\n\n{table([row for row in rows if row['model'] == model], baselines)}")
    if len(options.model) > 1:
        print(f"\n{ratios_by_model(rows, baselines)}")
    if options.one_thread:
        print("\nOne thread each; seconds are processor time.")
    if options.baseline_items:
        print(f"\nBaselines scored {options.baseline_items} items a cell; their seconds and tokens are scaled.")


if __name__ == "__main__":
    main()
