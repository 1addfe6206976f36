"""What tests of the comparison build: planted evaluations, runs of several arms, a probed run."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pandas as pd

from spillover.core.config import CompareConfig
from spillover.core.types import Evaluation, LabelScores, ModelRef
from spillover.stages.compare.contrasts import TrainedRun
from spillover.stats.calibration import normalised
from tests.builders import evaluation, table

# Most planted changes are changes in accuracy; `test_primary` has those of AUROC.
QUICK = CompareConfig(draws=50, primary="accuracy")
CODES = ("en", "de", "th")
LANGUAGES, ITEMS = ("de", "es", "th"), 60
IDS = [f"item-{i}" for i in range(ITEMS)]


def planted_sides(gaps, priors, n=600, codes=CODES, seed=0):
    """Two evaluations whose labels lie `gaps` apart, under a prior for the first label."""
    rng = np.random.default_rng(seed)
    gold, shared = np.arange(n) % 2, rng.normal(size=n)
    sides = []
    for gap, prior in zip(gaps, priors, strict=True):
        scores = {}
        for code in codes:
            margin = np.where(gold == 0, gap / 2, -gap / 2) + 0.8 * shared + 0.6 * rng.normal(size=n) + prior
            own = table(normalised(np.stack([margin, 0 * margin], axis=1)), gold, ("positive", "negative"))
            scores[code] = type(own)(**(vars(own) | {"language": code}))
        sides.append(Evaluation(ModelRef("m", None, None, "k"), "sentiment", "english", "k", scores))
    return sides


def runs_of(*arms, n=200, base=0):
    """Runs of (arm, seed, gain) that all start from one base."""
    rng = np.random.default_rng(base)
    before = {code: rng.random(n) < 0.5 for code in CODES}
    made = []
    for arm, seed, gain in arms:
        after = {code: hits | (rng.random(n) < gain) for code, hits in before.items()}
        made.append(TrainedRun(f"{arm}-{seed}", arm, "same", seed, ("de",), evaluation(before), evaluation(after)))
    return made


def probed_evaluation(correct, fingerprint="model"):
    """correct: [languages, items]."""
    scores = {}
    for code, right in zip(("en", *LANGUAGES), np.vstack([correct[:1], correct]), strict=True):
        logprobs = np.where(right[:, None], [[-0.1, -2.0]], [[-2.0, -0.1]]).astype(np.float32)
        tokens = np.ones(ITEMS, dtype=np.int32)
        scores[code] = LabelScores(code, ("yes", "no"), tuple(IDS), np.zeros(ITEMS, dtype=np.int64), logprobs, tokens, np.ones((ITEMS, 2), np.int32))  # fmt: skip
    return Evaluation(ModelRef("m", None, None, fingerprint), "sentiment", "english", fingerprint, scores)


def write_probe(run, name, margins, hits, fingerprint="model", leads=None):
    folder = run.path / "probe" / name
    folder.mkdir(parents=True)
    where = {"language": np.repeat(LANGUAGES, ITEMS), "other": "en", "example_id": np.tile(IDS, 3)}
    tables = []
    for layer in (0, 1):
        own = pd.DataFrame(where).assign(retrieval=hits.ravel() * layer, margin=margins.ravel() * layer)
        tables.append(own.assign(pooling="weighted", layer=layer))
    pd.concat(tables, ignore_index=True).to_parquet(folder / "alignment_items.parquet")
    rows = [
        {
            "language": code,
            "other": "en",
            "pooling": "weighted",
            "layer": layer,
            "measure": "mexa",
            "value": 0.4 * layer,
        }
        for code in LANGUAGES
        for layer in (0, 1)
    ]
    pd.DataFrame(rows).to_parquet(folder / "alignment.parquet")
    if leads is not None:
        table = pd.DataFrame(where).drop(columns="other").assign(leads_at=leads.ravel())
        table.to_parquet(folder / "lens_items.parquet")
    manifest = run.manifest()
    manifest["stages"][f"probe/{name}"] = {"settings": {"task": "sentiment", "model": fingerprint}}
    (run.path / "run.json").write_text(json.dumps(manifest))


def own_answers(rng, n=60, skill=1.0, languages=("en", "de"), kind="choices", length="byte"):
    """An evaluation of items with two to four answers of their own, of different lengths."""
    shapes = np.random.default_rng(7)
    counts, gold = shapes.integers(2, 5, n), shapes.integers(0, 2, n)
    there = np.arange(10) < counts[:, None]
    n_bytes = np.where(there, shapes.integers(3, 30, (n, 10)), 0).astype(np.int32)
    n_tokens = np.where(there, np.maximum(n_bytes // 4, 1), 0).astype(np.int32)
    scores = {}
    for code in languages:
        logprobs = rng.normal(-1, 0.3, (n, 10)) * np.maximum(n_bytes, 1)
        logprobs[np.arange(n), gold] *= np.exp(-0.3 * skill)
        labels, ids = tuple(map(str, range(10))), tuple(f"i{i}" for i in range(n))
        scores[code] = LabelScores(
            code, labels, ids, gold, np.where(there, logprobs, -np.inf).astype(np.float32), np.ones(n, np.int32), n_tokens,
            kind=kind, length=length, answer_bytes=n_bytes,
        )  # fmt: skip
    key = f"k{skill}"
    return Evaluation(ModelRef("m", None, None, key), "reading", kind, key, scores)


def clustered(side, names):
    """The evaluation with a cluster for each item."""
    return replace(side, scores={code: replace(own, clusters=tuple(names)) for code, own in side.scores.items()})
