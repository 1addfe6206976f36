"""Logits in float32 from 16-bit weights."""

import pytest
import torch

from spillover.models.fast.unembedding import float32_product, logits_at
from tests.builders import make_model


def linear(dtype, *, bias=False):
    generator = torch.Generator().manual_seed(0)
    head = torch.nn.Linear(96, 500, bias=bias)
    for parameter in head.parameters():
        parameter.data.normal_(generator=generator)
    return head.to(dtype), torch.randn(20, 96, generator=generator).to(dtype)


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize(("dtype", "bits"), [(torch.bfloat16, 16), (torch.float16, 21), (torch.float32, 21)])
def test_the_product_keeps_what_rounding_takes_away(dtype, bits, bias):
    head, states = linear(dtype, bias=bias)
    with torch.inference_mode():
        exact = torch.nn.functional.linear(states.double(), head.weight.double(), head.bias.double() if bias else None)
        found = float32_product(head, states)
    assert found.dtype == torch.float32
    assert (found - exact).abs().max() < exact.abs().max() * 2.0**-bits


def test_the_layers_own_output_is_used_where_it_is_known():
    head, states = linear(torch.bfloat16)
    with torch.inference_mode():
        assert torch.equal(float32_product(head, states, head(states)), float32_product(head, states))


@pytest.mark.parametrize("bias", [False, True])
def test_logits_at_a_few_positions_are_those_of_float32(bias):
    model = make_model().module.to(torch.bfloat16)
    if bias:
        head = model.lm_head
        head.bias = torch.nn.Parameter(torch.linspace(-1, 1, len(head.weight), dtype=torch.bfloat16))
    ids = torch.arange(12).view(2, 6)
    places = torch.tensor([5, 11, 0])
    with torch.inference_mode():
        states = model.model(input_ids=ids).last_hidden_state.reshape(-1, model.config.hidden_size)[places]
        with logits_at(model, places, exact=True):
            found = model(input_ids=ids, use_cache=False).logits
        wanted = states.double() @ model.lm_head.weight.double().T
        wanted = wanted + model.lm_head.bias.double() if bias else wanted
    assert (found - wanted).abs().max() < max(1, wanted.abs().max()) * 2.0**-15
