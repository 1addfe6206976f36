"""Neurons counted in the engine's pass equal a pass over the whole prompt."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from spillover.models.label_tokens import tokenize_prompts
from spillover.models.local import LocalEngine
from spillover.models.neuron_activations import activations, unsupported_reason
from tests.builders import FAMILIES, make_model


@pytest.mark.parametrize("family", FAMILIES)
def test_counts_are_those_of_the_items_own_tokens_in_a_pass_of_its_own(family, demo_prompts):
    model = make_model(family=family)
    prompts = demo_prompts("sentiment", "en", limit=3)
    engine = LocalEngine(model)
    plan = engine.plan(prompts)
    counts = {}
    for batch in engine.score(plan, states=True):
        counts |= dict(zip(batch.index, batch.states.active, strict=True))
    for i, prompt in enumerate(prompts):
        context = tokenize_prompts(model.tokenizer, [prompt])[0].context
        own = len(plan.items[i].body)
        seen = []
        handles = [
            act.register_forward_hook(lambda *a: seen.append(a[2].reshape(-1, a[2].shape[-1])))  # noqa: B023
            for act in activations(model.module)
        ]
        with torch.no_grad():
            model.module(torch.tensor([context]))
        for handle in handles:
            handle.remove()
        expected = torch.stack([(layer[-own:] > 0).sum(dim=0) for layer in seen]).numpy()
        assert np.abs(counts[i].astype(int) - expected).max() <= 1  # a value within rounding of 0
        assert (counts[i] == expected).mean() > 0.98


def test_a_model_whose_neurons_cannot_be_counted_says_why(demo_prompts):
    model = make_model()
    layers = model.module.model.layers
    layers[1].mlp.act_fn = layers[0].mlp.act_fn
    assert unsupported_reason(model.module) == "its blocks share one activation function"
    engine = LocalEngine(model)
    batch = next(engine.score(engine.plan(demo_prompts("sentiment", "en", limit=2)), states=True))
    assert batch.states.active is None
