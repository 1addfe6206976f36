"""What the tests of the alternatives share."""

from __future__ import annotations

import math
from dataclasses import replace

import pandas as pd

from spillover.stages.alternatives.rows import BASE, CALIBRATED, Row, RowKind
from spillover.stages.alternatives.table import Cost, ScoredRow
from tests.builders import random_evaluation

REFERENCE, FREE, TRAINED, NULL = RowKind.REFERENCE, RowKind.FREE, RowKind.TRAINED, RowKind.NULL


def quality(languages=("de", "es"), **columns):
    """A table of translations of one row."""
    rows = [
        {"language": code, "items": 60, "texts": 120, "chrf": 31.25, "chrf_others": 17.5, "empty": 2, "unchanged": 3,
         "cut": 4, "answers_kept": 5, "tokens": math.nan, "seconds": 12.0, "reason": ""} | columns
        for code in languages
    ]  # fmt: skip
    return pd.DataFrame(rows)


def moved(base, rng, gain, noise=0.3):
    """An evaluation of the same items that separates the labels by `gain` more, with some noise of its own."""
    scores = {}
    for code, own in base.scores.items():
        logprobs = own.logprobs + rng.normal(0, noise, own.logprobs.shape)
        logprobs[range(len(own.gold)), own.gold] += gain
        scores[code] = replace(own, logprobs=logprobs.astype("float32"))
    return replace(base, scores=scores)


def scored_rows(rng, languages=("en", "de", "es"), n=200, *, bias=0.0, skill=0.5, **gains):
    """The base, the calibrated base, and a row for each of `gains`: free, `tuned` trained, and those with another row's
    name and `_null` its null."""
    base = random_evaluation(rng, languages, n, bias=bias, skill=skill)
    rows = [
        ScoredRow(Row(BASE, REFERENCE, BASE), base, Cost(10.0, 1.0)),
        ScoredRow(Row(CALIBRATED, REFERENCE, BASE), base),
    ]
    for name, gain in gains.items():
        of = (name.removesuffix("_null"),) if name.endswith("_null") else ()
        kind = NULL if of else TRAINED if name == "tuned" else FREE
        adapter = "somewhere" if name == "tuned" else None
        rows.append(ScoredRow(Row(name, kind, name, of, adapter=adapter), moved(base, rng, gain), Cost(20.0, 2.0)))
    return rows
