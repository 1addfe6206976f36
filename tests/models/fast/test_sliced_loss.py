"""The loss in slices equals that of whole logits."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import cross_entropy

from spillover.models.fast import sliced_loss
from spillover.models.fast.sliced_loss import SummedCrossEntropy


@pytest.mark.parametrize("softcap", [None, 3.0])
def test_loss_in_slices_equals_whole_logits(monkeypatch, softcap):
    monkeypatch.setattr(sliced_loss, "SLICE_LOGITS", 64)
    monkeypatch.setattr(sliced_loss, "SLICE_ROWS", 1)
    torch.manual_seed(0)
    states, weight, targets = torch.randn(7, 6, requires_grad=True), torch.randn(20, 6), torch.randint(0, 20, (7,))
    logits = states @ weight.T
    logits = logits if softcap is None else torch.tanh(logits / softcap) * softcap
    whole = cross_entropy(logits, targets, reduction="sum")
    (wanted,) = torch.autograd.grad(whole / 3, states)
    total = SummedCrossEntropy.apply(states, weight, None, targets, softcap)
    (gradient,) = torch.autograd.grad(total / 3, states)
    assert total.item() == pytest.approx(whole.item(), abs=1e-4)
    torch.testing.assert_close(gradient, wanted, atol=1e-5, rtol=1e-4)
