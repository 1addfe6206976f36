"""Run folders with scores, as the command line reads them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from spillover.core.runs import open_run
from spillover.core.types import Evaluation, ModelRef
from spillover.stages.evaluate.score_tables import facts_of, read_scores, write_scores
from spillover.stats.calibration import normalised
from tests.builders import table

CODES = ("en", "de", "th")


def made_run(folder, *, arm="translate", seed=0, task="sentiment", gain=0.5):
    rng, gold = np.random.default_rng(seed), np.arange(40) % 2
    opened = open_run(folder)
    stages = {
        "build": {"settings": {"arm": arm}, "facts": {"languages": ["de"]}},
        "train": {"settings": {"seed": seed}},
    }
    opened.update(stages=stages)
    for name, skill in (("base", 0.5), ("tuned", 0.5 + gain)):
        evaluation = Evaluation(ModelRef(name, None, None, name), task, "english", name, {})
        for code in CODES:
            logits = rng.normal(0, 1, (40, 2))
            logits[np.arange(40), gold] += skill
            scores = replace(table(normalised(logits), gold, ("positive", "negative")), language=code)
            write_scores(folder / "evaluate" / name / task / f"{code}.parquet", scores, facts_of(evaluation))
    return folder


def spoil(run, change, *, sides=("tuned",), codes=("de",)):
    """Write tables anew, changed."""
    for side in sides:
        for code in codes:
            path = run / "evaluate" / side / "sentiment" / f"{code}.parquet"
            scores, facts = read_scores(path)
            write_scores(path, change(scores), facts)
