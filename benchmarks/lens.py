"""`make bench-lens`: the lens's curves the paper's way and ours, on the same prompts and tokens, in one process.

The paper's way: one prompt at a time; every hidden state through norm and unembedding at every position of every layer,
then the last position's softmax is read. Ours: the pass that scores the items (`probe/lens.py`), for the same curves,
and once more with everything else the probe reads: exact words, random words, ranks, states on disk.

All three take turns; medians over the repeats. Seconds per item, ratios, how far the curves are apart, peak memory.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from benchmarks.scoring_worker import forget_peak, memory_mib

from spillover.core.types import Prompt
from spillover.models.load import Model, load_model
from spillover.models.local import LocalEngine
from spillover.stages.probe.lens import LogitLens, measure_batch
from spillover.stages.probe.lens_targets import LensTargets, lens_targets, tokens_of_letters
from spillover.stages.probe.state_store import collect
from spillover.tasks.examples import load_parallel
from spillover.tasks.prompts import render
from spillover.tasks.wording import load_task

CELLS = ("sentiment/de", "sentiment/zh", "nli/de", "nli/zh", "paraphrase/de")
BUDGET = 2048


def papers_way(model: Model, prompts: list[Prompt], targets: LensTargets) -> np.ndarray:
    """[items, layers + 1, sets, labels] probabilities."""
    norm, head = model.module.get_decoder().norm, model.module.lm_head
    rows = []
    with torch.inference_mode():
        for prompt in prompts:
            ids = model.tokenizer(prompt.text, return_tensors="pt").input_ids
            states = model.module(ids, output_hidden_states=True).hidden_states
            layers = []
            for layer, state in enumerate(states):
                logits = head(state if layer == len(states) - 1 else norm(state))
                last = logits.float().softmax(dim=-1)[0, -1]
                layers.append([[float(last[ids].sum()) for ids in by_label] for by_label in targets.first_tokens])
            rows.append(layers)
    return np.array(rows)


def same_curves(engine: LocalEngine, lens: LogitLens, prompts: list[Prompt], targets: LensTargets) -> np.ndarray:
    # Answers of one token: the paper reads one position of each prompt.
    plan = engine.plan([replace(prompt, answers=("1", "2")) for prompt in prompts])
    first_word = [[0] * len(targets.labels)] * len(targets.sets)
    bare = replace(targets, words=("1", "2"), random_words=(), word_index=first_word, control_index=first_word)
    by_item = {}
    for batch in engine.score(plan, states=True):
        first = measure_batch(lens, bare, plan, batch)["lens.first"]
        by_item |= dict(zip(batch.index, first, strict=True))
    return np.stack([by_item[i] for i in range(len(prompts))])


def everything(engine: LocalEngine, lens: LogitLens, prompts: list[Prompt], targets: LensTargets) -> None:
    plan = targets.plan(engine.plan(targets.prompts(prompts)), BUDGET)
    with tempfile.TemporaryDirectory() as folder:
        collect(
            engine, {"x": plan}, Path(folder), key="", model="", task="", layers=range(lens.model.layers + 1),
            measure=lambda _, plan, batch: measure_batch(lens, targets, plan, batch),
        )  # fmt: skip


def seconds(work: Callable[[], object]) -> tuple[float, object]:
    started = time.perf_counter()
    result = work()
    return time.perf_counter() - started, result


def measure(model: Model, data: str, cell: str, items: int, few: int, repeats: int) -> dict:
    name, code = cell.split("/")
    task = load_task(name)
    prompts = render(task, load_parallel(data, task, "test", [code], limit=items)[code], label_set="english")
    # Of every length: the baseline's time grows with the text.
    order = sorted(range(len(prompts)), key=lambda i: len(prompts[i].text))
    chosen = [prompts[order[round(i * (len(order) - 1) / max(few - 1, 1))]] for i in range(min(few, len(order)))]
    lens, engine = LogitLens(model), LocalEngine(model, batch_tokens=BUDGET)
    targets = lens_targets(
        model, task, prompts[0], "english", "paper", tokens_of_letters(model.token_bytes), np.random.default_rng(0)
    )
    lens.energy(torch.zeros(1, model.module.config.hidden_size))
    engine._trusted = True  # the check of both ways is made once per model, not per cell
    forget_peak()
    times: dict[str, list[float]] = {"paper": [], "curves": [], "all": []}
    for _ in range(repeats):
        took, theirs = seconds(lambda: papers_way(model, chosen, targets))
        times["paper"].append(took / len(chosen))
        took, ours = seconds(lambda: same_curves(engine, lens, prompts, targets))
        times["curves"].append(took / len(prompts))
        took, _ = seconds(lambda: everything(engine, lens, prompts, targets))
        times["all"].append(took / len(prompts))
    where = [prompts.index(prompt) for prompt in chosen]
    return {
        "cell": cell,
        "items": len(prompts),
        "paper_items": len(chosen),
        "apart": float(np.nanmax(np.abs(np.asarray(theirs) - np.asarray(ours)[where]))),
        "peak_mib": memory_mib("VmHWM"),
    } | {name: statistics.median(own) for name, own in times.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="demo", help="demo, or a folder in our format")
    parser.add_argument("--cells", nargs="+", default=CELLS, help="task/language")
    parser.add_argument("--items", type=int, default=48)
    parser.add_argument("--paper-items", type=int, default=6)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--dtype", default="bfloat16")
    parser.add_argument("--out", type=Path, default=Path("runs/bench/lens.json"))
    options = parser.parse_args()
    model = load_model(dtype=options.dtype)
    print("| cell | items | paper, s an item | ours, same curves | x | ours, everything | x | apart | peak MiB |")
    print("|" + "---|" * 9)
    rows = []
    for cell in options.cells:
        row = measure(model, options.data, cell, options.items, options.paper_items, options.repeats)
        rows.append(row)
        ratio = row["paper"] / row["curves"]
        print(
            f"| {cell} | {row['items']} | {row['paper']:.2f} | {row['curves']:.3f} | {ratio:.1f} "
            f"| {row['all']:.3f} | {row['paper'] / row['all']:.1f} | {row['apart']:.2g} | {row['peak_mib']:.0f} |",
            flush=True,
        )
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")
    ratio = statistics.geometric_mean(row["paper"] / row["curves"] for row in rows)
    print(
        f"\nGeometric mean, same curves: {ratio:.1f} x. The paper's way ran on {rows[0]['paper_items']} items a cell."
    )


if __name__ == "__main__":
    main()
