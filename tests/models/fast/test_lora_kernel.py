"""LoRA layers compute what peft's do."""

from __future__ import annotations

import pytest
import torch

from spillover.core.config import TrainConfig
from spillover.models.fast.lora_kernel import compute_in_base_precision
from spillover.stages.train.adapters import with_adapter

CONFIG = TrainConfig(
    epochs=1, batch=4, batch_tokens=250, rank=2, learning_rate=1e-2, validation=0.0, checkpoint_steps=99
)


def gradients(module):
    by_name = {name: p.grad.clone() for name, p in module.named_parameters() if p.grad is not None}
    module.zero_grad()
    return by_name


def test_outputs_and_gradients_are_those_of_peft(tiny):
    module = with_adapter(tiny, CONFIG)
    for name, parameter in module.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, 0, 0.1)
    ids = torch.arange(3, 30)[None]
    before = module(ids).logits
    before.square().mean().backward()
    wanted = gradients(module)
    assert compute_in_base_precision(module) == 4
    after = module(ids).logits
    after.square().mean().backward()
    torch.testing.assert_close(after, before, atol=1e-4, rtol=1e-4)
    for name, gradient in gradients(module).items():
        torch.testing.assert_close(gradient, wanted[name], atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("change", [{"dropout": 0.1}, {"method": "dora"}], ids=str)
def test_dropout_and_dora_keep_pefts_arithmetic(tiny, change):
    assert compute_in_base_precision(with_adapter(tiny, CONFIG.model_copy(update=change))) == 0
