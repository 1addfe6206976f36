"""Pooled states equal what the model's own hidden states give, prompt by prompt, and are never normed."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from spillover.models.label_tokens import tokenize_prompts
from spillover.models.local import LocalEngine
from tests.builders import make_model
from tests.models.builders import hidden_states, pooled
from tests.models.test_local import ARCHITECTURES


@pytest.mark.parametrize("family", ARCHITECTURES)
def test_poolings_equal_the_models_own_states(family, demo_prompts):
    model = make_model(family=family)
    prompts = demo_prompts("sentiment", "de", "native", limit=3)
    plan, rows, nodes = pooled(model, prompts)
    assert plan.shared
    for prompt, item, row, own_nodes in zip(prompts, plan.items, rows, nodes, strict=True):
        tokenized = tokenize_prompts(model.tokenizer, [prompt])[0]
        states = hidden_states(model, tokenized.context)
        own = states[:, len(plan.prefix) :]
        weights = torch.arange(1, own.shape[1] + 1.0)
        expected = {
            "last": states[:, -1],
            "mean": own.mean(1),
            "all": states.mean(1),
            "weighted": (own * weights[:, None]).sum(1) / weights.sum(),
        }
        for name, value in expected.items():
            np.testing.assert_allclose(row[name], value.numpy(), atol=1e-4, rtol=1e-4, err_msg=name)
        for label, path in zip(tokenized.labels, item.tree.paths, strict=True):
            grown = hidden_states(model, [*tokenized.context, *label])
            for depth, node in enumerate(path[1:], start=1):
                expected_node = grown[:, len(tokenized.context) - 1 + depth]
                np.testing.assert_allclose(own_nodes[node], expected_node.numpy(), atol=1e-4, rtol=1e-4)


def test_states_do_not_depend_on_the_prefix_cache_or_on_earlier_scoring(tiny, demo_prompts):
    prompts = demo_prompts("nli", "zh", "native", limit=3)
    _, shared, shared_nodes = pooled(tiny, prompts)
    _, whole, whole_nodes = pooled(tiny, prompts, prefix_cache=False)
    for one, other in zip(shared, whole, strict=True):
        for name in one:
            np.testing.assert_allclose(one[name], other[name], atol=1e-4, rtol=1e-4)
    for one, other in zip(shared_nodes, whole_nodes, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4, rtol=1e-4)
    engine = LocalEngine(tiny)
    plan = engine.plan(prompts)
    list(engine.score(plan))  # caches the prefix without its sums
    later = next(engine.score(plan, states=True))
    np.testing.assert_allclose(later.states.all[0], shared[later.index[0]]["all"], atol=1e-5)


def test_scores_are_the_same_with_states(tiny, demo_prompts):
    engine = LocalEngine(tiny)
    plan = engine.plan(demo_prompts("sentiment", "en"))
    bare, seen = next(engine.score(plan)), next(engine.score(plan, states=True))
    assert bare.states is None
    assert bare.logprobs.tobytes() == seen.logprobs.tobytes()
