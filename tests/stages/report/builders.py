"""A run folder with a table of everything that the page shows, small, and with whatever texts a test wants in it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from spillover.core.config import CompareConfig
from spillover.core.files import write_json, write_jsonl
from spillover.core.runs import open_run
from spillover.core.types import Evaluation, ModelRef
from spillover.stages.compare import compare_run
from spillover.stages.evaluate.score_tables import facts_of, write_scores
from tests.builders import random_hits, table

CODES = ("en", "de", "ru", "th")
LAYERS = range(3)


def make_run(
    path,
    *,
    text="A text of {code}, item {i}",
    model="a model",
    name="my run",
    labels=("no", "yes"),
    n=24,
    codes=CODES,
    seen=("de",),
):
    """Evaluated, compared, probed, trained and audited; every third text is `text`."""
    run = open_run(path)
    run.update(name=name)
    rng = np.random.default_rng(0)
    sides = [evaluation(rng, model, labels, share, key, n, codes) for share, key in ((0.4, "old"), (0.7, "new"))]
    for side, folder in zip(sides, ("base", "tuned"), strict=True):
        for code, scores in side.scores.items():
            texts = [text.format(code=code, i=i) if i % 3 == 0 else f"Plain {code} {i}" for i in range(n)]
            write_scores(run.path / "evaluate" / folder / side.task / f"{code}.parquet", scores, facts_of(side), texts)
    compare_run(run, seen=list(seen), config=CompareConfig(draws=50))
    probe(run.path / "probe" / "base")
    probe(run.path / "probe" / "tuned", gain=0.3)
    steps = [{"step": i, "loss": 3 / i} for i in range(1, 6)]
    write_jsonl(run.path / "train" / "steps.jsonl", steps)
    finding = {
        "check": "untranslated",
        "severity": "error",
        "task": "sentiment",
        "language": "th",
        "message": text[:200],
    }
    write_json(run.path / "audit" / "findings.json", [finding | {"example_ids": ["i1"], "evidence": {}}])
    return run


def evaluation(rng, model, labels, share, key, n, codes):
    scores = {}
    for code in codes:
        right, gold = random_hits(rng, share, n), np.arange(n) % 2
        logprobs = np.full((n, 2), -2.0)
        logprobs[np.arange(n), np.where(right, gold, 1 - gold)] = -1 - np.arange(n) / n / 10
        scores[code] = replace(table(logprobs, gold, labels), language=code)
    return Evaluation(ModelRef(model, None, None, key), "sentiment", "english", key, scores)


def probe(folder, gain=0.0):
    """Tables of lens, PCA and alignment, as the probe writes them."""
    folder.mkdir(parents=True)
    lens(gain).to_parquet(folder / "lens.parquet")
    lens_layers().to_parquet(folder / "lens_layers.parquet")
    rng = np.random.default_rng(0)
    points = [
        {"pooling": pooling, "layer": layer, "language": code, "example_id": f"i{i}", "pc1": x, "pc2": y}
        for pooling in ("all", "mean") for layer in LAYERS for code in CODES for i, (x, y) in enumerate(rng.normal(size=(4, 2)))
    ]  # fmt: skip
    pd.DataFrame(points).to_parquet(folder / "pca.parquet")
    pairs = [
        {"pooling": pooling, "layer": layer, "language": "en", "other": "th", "correlation": 0.9, "length": 0.8}
        | {"centred": 0.6, "residual": 0.3, "shuffled": -0.1}
        for pooling in ("all", "mean") for layer in LAYERS
    ]  # fmt: skip
    pd.DataFrame(pairs).to_parquet(folder / "pca_pairs.parquet")


def lens(gain=0.0):
    rows = pd.DataFrame(
        [(code, layer, words) for code in CODES for layer in LAYERS for words in ("reference", "native")],
        columns=["language", "layer", "words"],
    )
    values = 0.1 + 0.2 * rows["layer"]
    for name in ("answer", "answer_sequence", "random"):
        rows = rows.assign(**with_interval(name, values + gain * (rows["layer"] == 2)))
    rows.loc[(rows["language"] == "th") & (rows["words"] == "native"), ["answer", "answer_low", "answer_high"]] = np.nan
    return rows.assign(rank=3.0, shared_tokens=0, n=4, answer_clears=True, reason="")


def lens_layers():
    rows = pd.DataFrame([(code, layer) for code in CODES for layer in LAYERS], columns=["language", "layer"])
    return rows.assign(**with_interval("entropy", 8.0 - rows["layer"]))


def with_interval(name, values):
    return {name: values, f"{name}_low": values - 0.05, f"{name}_high": values + 0.05}
