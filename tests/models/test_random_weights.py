"""The randomly initialised model, the null of what a trained model's states encode."""

from __future__ import annotations

import torch

from spillover.models.random_weights import randomly_initialised
from tests.builders import make_model


def test_the_random_model_has_the_same_shapes_and_weights_that_depend_on_the_seed():
    model = make_model()
    before = torch.random.get_rng_state()
    first, second, other = (randomly_initialised(model, seed) for seed in (1, 1, 2))
    assert torch.equal(torch.random.get_rng_state(), before)
    names = dict(model.module.named_parameters())
    for name, weights in first.module.named_parameters():
        assert weights.shape == names[name].shape
        assert torch.equal(weights, dict(second.module.named_parameters())[name])
    weight = "model.layers.0.mlp.down_proj.weight"
    states = [m.module.state_dict()[weight] for m in (model, first, other)]
    assert not torch.equal(states[0], states[1])
    assert not torch.equal(states[1], states[2])
    assert first.ref.fingerprint == second.ref.fingerprint != other.ref.fingerprint
