"""Neighbours of nearly one length are a segment, and folding a segment is a view of the row."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from spillover.models.fast.segments import (
    UNKNOWN_OPTIONS,
    WASTE,
    Segment,
    UnsupportedAttention,
    fold,
    group_by_length,
    register_attention,
    unfold,
)


@given(st.lists(st.integers(1, 200), max_size=40))
def test_groups_hold_every_index_once_and_waste_little(lengths):
    lengths = sorted(lengths, reverse=True)
    groups = group_by_length(lengths)
    assert [i for group in groups for i in group] == list(range(len(lengths)))
    assert all(lengths[group[0]] - lengths[group[-1]] <= WASTE * lengths[group[0]] for group in groups)


def test_folding_is_a_view_that_unfolding_undoes():
    row, segment = torch.randn(1, 3, 14, 8), Segment(4, 2, 5)
    folded = fold(row, segment)
    assert folded.shape == (2, 3, 5, 8)
    assert torch.equal(unfold(folded), row[:, :, 4:14].transpose(1, 2))
    folded.zero_()
    assert not row[:, :, 4:14].any()


@pytest.mark.parametrize("option", UNKNOWN_OPTIONS)
def test_options_that_change_the_result_are_unsupported(option):
    from transformers import AttentionInterface

    register_attention("spillover-test", lambda call: call.query.transpose(1, 2))
    attention = AttentionInterface()["spillover-test"]
    states = [torch.randn(1, 2, 4, 8) for _ in range(3)]
    assert attention(torch.nn.Identity(), *states, None)[0].shape == (1, 4, 2, 8)
    with pytest.raises(UnsupportedAttention, match=option):
        attention(torch.nn.Identity(), *states, None, **{option: 1})
