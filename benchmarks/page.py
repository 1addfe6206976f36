"""How large the page is, how long it takes to build and to open: 20 languages x 600 items x 2 models, made-up numbers.

1. Write a run folder as the stages would: scores with texts, a comparison, lens, PCA and alignment of 31 layers.
2. Build its page in a process of its own; report bytes and processor seconds.
3. Open it in Chromium from disk; report when it was loaded and when its last chart was drawn.
"""

from __future__ import annotations

import argparse
import resource
import shutil
import subprocess
import sys
import tempfile
from itertools import combinations, product
from pathlib import Path

import numpy as np
import pandas as pd

from spillover.core.config import CompareConfig
from spillover.core.languages import known_languages, language
from spillover.core.runs import Run, open_run
from spillover.core.types import Evaluation, LabelScores, ModelRef
from spillover.stages.compare import compare_run
from spillover.stages.evaluate.score_tables import facts_of, write_scores

LABELS = ("entailment", "neutral", "contradiction")
LAYERS, PROBED = 31, 24
TEXT_LENGTH = 220
POOLINGS = ("last", "mean", "all", "weighted")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=600)
    parser.add_argument("--keep", type=Path, help="leave the run folder here")
    options = parser.parse_args()
    folder = options.keep or Path(tempfile.mkdtemp()) / "run"
    run = make_run(folder, options.items, np.random.default_rng(0))
    code = f"from spillover.stages.report import report; report({str(run.path)!r})"
    subprocess.run([sys.executable, "-c", code], check=True)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    page = run.path / "report.html"
    flipped = page.read_text(encoding="utf-8").count('"newly_correct":')
    print(f"{len(known_languages())} languages x {options.items} items x 2 models")
    print(f"page        {page.stat().st_size / 1e6:.2f} MB")
    seconds = used.ru_utime + used.ru_stime
    print(f"built in    {seconds:.1f} s of processor, imports and all; peak {used.ru_maxrss >> 10} MiB")
    print(f"flipped     {flipped} predictions on the page")
    open_page(page)
    if not options.keep:
        shutil.rmtree(folder.parent)


def open_page(page: Path) -> None:
    """Print when the page was loaded and when all was drawn, as the browser's own clock has it."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        shown = browser.new_page(viewport={"width": 1440, "height": 900})
        session = shown.context.new_cdp_session(shown)
        session.send("Performance.enable")
        shown.goto(page.as_uri())
        shown.wait_for_selector("#verdict .plot[data-drawn=done]", timeout=600_000)
        first = shown.evaluate("performance.now()")
        shown.wait_for_selector("html[data-ready]", state="attached", timeout=600_000)
        loaded = shown.evaluate("performance.getEntriesByType('navigation')[0].loadEventEnd")
        metrics = {row["name"]: row["value"] for row in session.send("Performance.getMetrics")["metrics"]}
        drawn = shown.evaluate("performance.now()")
        work = metrics["TaskDuration"]
        print(f"loaded      {loaded / 1000:.2f} s after opening; first picture by {first / 1000:.2f} s")
        print(f"all drawn   {drawn / 1000:.2f} s; {work:.2f} s of the page's own work")
        browser.close()


def make_run(folder: Path, items: int, rng: np.random.Generator) -> Run:
    """A run folder with random scores that rise a little, and random tables of the probe."""
    run = open_run(folder)
    run.update(name="size")
    gold = np.arange(items) % len(LABELS)
    base = rng.normal(size=(len(known_languages()), items, len(LABELS)))
    for key, gain in (("old", 0.5), ("new", 0.9)):
        scores = {}
        for i, code in enumerate(known_languages()):
            logits = base[i] + 0.6 * rng.normal(size=(items, len(LABELS)))
            logits[np.arange(items), gold] += gain
            scores[code] = label_scores(code, logits, gold)
        side = Evaluation(ModelRef("made-up", None, None, key), "nli", "english", key, scores)
        for code, own in scores.items():
            path = run.path / "evaluate" / {"old": "base", "new": "tuned"}[key] / "nli" / f"{code}.parquet"
            write_scores(path, own, facts_of(side), texts(code, items))
    compare_run(run, seen=known_languages()[4:6], config=CompareConfig(draws=100))
    for name in ("base", "tuned"):
        probe_tables(run.path / "probe" / name, rng)
    return run


def label_scores(code: str, logits: np.ndarray, gold: np.ndarray) -> LabelScores:
    values = (logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))).astype(np.float32)
    n = len(gold)
    ids = tuple(f"nli-{i:04d}" for i in range(n))
    return LabelScores(
        code, LABELS, ids, gold.astype(np.int64), values, np.full(n, 180, np.int32), np.ones((n, 3), np.int32)
    )


def texts(code: str, items: int) -> list[str]:
    """As long as a pair of SNLI in its template, in the language's own letters, each another."""
    words = f"{language(code).endonym} "
    return [f"{i} {words * (TEXT_LENGTH // len(words))}" for i in range(items)]


def probe_tables(folder: Path, rng: np.random.Generator) -> None:
    folder.mkdir(parents=True)
    codes = known_languages()
    lens = pd.DataFrame(product(codes, range(LAYERS), ("reference", "native")), columns=["language", "layer", "words"])
    for name in ("answer", "answer_sequence", "random"):
        values = rng.random(len(lens)) * lens["layer"] / LAYERS
        lens = lens.assign(**{name: values, f"{name}_low": values - 0.05, f"{name}_high": values + 0.05})
    lens.assign(rank=3.0, shared_tokens=0, n=PROBED, answer_clears=True, reason="").to_parquet(folder / "lens.parquet")
    layers = pd.DataFrame(product(codes, range(LAYERS)), columns=["language", "layer"])
    layers.assign(entropy=rng.random(len(layers)) * 10).to_parquet(folder / "lens_layers.parquet")
    points = pd.DataFrame(
        product(POOLINGS, range(LAYERS), codes, (f"nli-{i:04d}" for i in range(PROBED))),
        columns=["pooling", "layer", "language", "example_id"],
    )
    points.assign(**{pc: rng.normal(size=len(points)) for pc in ("pc1", "pc2")}).to_parquet(folder / "pca.parquet")
    pairs = pd.DataFrame(
        [(*place, *two) for place in product(POOLINGS, range(LAYERS)) for two in combinations(codes, 2)],
        columns=["pooling", "layer", "language", "other"],
    )
    named = ("correlation", "centred", "residual", "length", "shuffled")
    pairs.assign(**{name: rng.random(len(pairs)) for name in named}).to_parquet(folder / "pca_pairs.parquet")
    aligned = pd.DataFrame(
        product(codes[1:], ("weighted", "last"), range(LAYERS), ("mexa", "cka")),
        columns=["language", "pooling", "layer", "measure"],
    )
    aligned = aligned.assign(other=codes[0], value=rng.random(len(aligned)), clears=rng.random(len(aligned)) > 0.5)
    aligned.to_parquet(folder / "alignment.parquet")


if __name__ == "__main__":
    main()
