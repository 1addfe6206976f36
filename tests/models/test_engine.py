from __future__ import annotations

import numpy as np

from spillover.core.config import EvaluateConfig
from spillover.core.types import Prompt, ScoredBatch
from spillover.models.engine import label_scores, open_engine
from spillover.tasks.wording import load_task


def batch(index, values):
    n = len(index)
    return ScoredBatch(index, np.array(values, np.float32), np.arange(n, dtype=np.int32), np.ones((n, 2), np.int32))


def test_scores_come_in_the_order_of_the_prompts_without_those_behind_them():
    task = load_task("sentiment")
    prompts = [Prompt(f"i{i}", "en", "", "", ("a", "b"), task.labels[i % 2], f"h{i}") for i in range(3)]
    scores = label_scores(task, prompts, [batch((2, 3), [[-1, -2], [0, 0]]), batch((1, 0), [[-3, -4], [-5, -6]])])
    assert scores.logprobs.tolist() == [[-5, -6], [-3, -4], [-1, -2]]
    assert scores.example_ids == ("i0", "i1", "i2")
    assert scores.gold.tolist() == [0, 1, 0]
    assert scores.content == ("h0", "h1", "h2")


def test_an_engine_takes_its_settings_from_the_config(tiny):
    engine = open_engine(tiny, EvaluateConfig(batch_tokens=7, prefix_cache=False, rule="paper"))
    assert (engine.batch_tokens, engine.prefix_cache, engine.rule) == (7, False, "paper")
