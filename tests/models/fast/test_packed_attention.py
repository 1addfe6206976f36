"""Texts in one row do not see each other, and attend as one masked softmax says."""

from __future__ import annotations

import pytest
import torch

from spillover.core.config import BuildConfig, TrainConfig
from spillover.models.fast import packed_attention
from spillover.models.fast.packed_attention import NAME, packed
from spillover.models.fast.segments import AttentionCall, Segment, UnsupportedAttention
from spillover.stages.build import build_pairs
from spillover.stages.train.packing import collate, into_parts, texts_of
from spillover.stages.train.tokenize import tokenize_pairs
from tests.builders import make_model

CONFIG = TrainConfig(
    epochs=1, batch=4, batch_tokens=250, rank=2, learning_rate=1e-2, validation=0.0, checkpoint_steps=99
)


@pytest.fixture(scope="module")
def pairs():
    return build_pairs("sentiment", languages=["es"], config=BuildConfig(pairs=14))


def test_texts_in_one_row_do_not_see_each_other(tiny, pairs):
    rows = tokenize_pairs(tiny, pairs, CONFIG)[:5]
    (part,) = into_parts(texts_of(collate(rows)), 10_000, packed=True)
    module = make_model().module
    module.set_attn_implementation(NAME)
    segment = part.segments[-1]
    changed = part.ids.clone()
    changed[:, segment.start : segment.stop] = 5
    with torch.no_grad(), packed(part.segments):
        first, second = (module(input_ids=ids, position_ids=part.positions).logits[0] for ids in (part.ids, changed))
    assert torch.equal(first[: segment.start], second[: segment.start])
    assert not torch.allclose(first[segment.start :], second[segment.start :])


def one_masked_softmax(query, key, value, segments, scale, window):
    """[1, t, heads, head]: one softmax over the row, where each token sees its own text alone."""
    length, group = query.shape[2], query.shape[1] // key.shape[1]
    visible = torch.zeros(length, length, dtype=torch.bool)
    for segment in segments:
        for row in range(segment.rows):
            at = slice(segment.start + row * segment.width, segment.start + (row + 1) * segment.width)
            visible[at, at] = torch.ones(segment.width, segment.width, dtype=torch.bool).tril()
    if window is not None:
        visible &= torch.ones_like(visible).triu(1 - window)
    key, value = (states.repeat_interleave(group, dim=1) for states in (key, value))
    weights = (scale * query @ key.mT).masked_fill(~visible, float("-inf")).softmax(-1)
    return (weights @ value).transpose(1, 2)


@pytest.mark.parametrize("longest", [512, 1], ids=["kept weights", "fused"])
@pytest.mark.parametrize("window", [None, 3])
def test_outputs_and_gradients_are_those_of_one_masked_softmax(monkeypatch, window, longest):
    monkeypatch.setattr(packed_attention, "WEIGHTS_TOKENS", longest)
    torch.manual_seed(0)
    segments = (Segment(0, 2, 5), Segment(10, 1, 4))
    states = [torch.randn(1, heads, 14, 8, requires_grad=True) for heads in (6, 2, 2)]
    call = AttentionCall(0, *states, scale=0.3, dropout=0.0, window=window, softcap=None)
    with packed(segments):
        output = packed_attention.packed_attention(call)
    wanted = one_masked_softmax(*states, segments, 0.3, window)
    torch.testing.assert_close(output, wanted, atol=1e-5, rtol=1e-5)
    direction = torch.randn_like(wanted)
    computed, expected = (torch.autograd.grad((result * direction).sum(), states) for result in (output, wanted))
    for gradient, wanted_gradient in zip(computed, expected, strict=True):
        torch.testing.assert_close(gradient, wanted_gradient, atol=1e-5, rtol=1e-5)


def test_a_softcap_and_a_missing_row_of_segments_are_unsupported():
    states = [torch.randn(1, 2, 4, 8) for _ in range(3)]
    call = AttentionCall(0, *states, scale=0.3, dropout=0.0, window=None, softcap=2.0)
    with packed((Segment(0, 1, 4),)), pytest.raises(UnsupportedAttention, match="softcap"):
        packed_attention.packed_attention(call)
    with pytest.raises(UnsupportedAttention, match="one row of segments"):
        packed_attention.packed_attention(call)
