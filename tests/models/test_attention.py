"""Attention in two parts equals attention over the whole, whichever kernel computes it."""

from __future__ import annotations

import pytest
import torch

from spillover.models.attention import _attend_by_matmul, attend

SHAPE = {"batch": 2, "heads": 6, "kv": 2, "length": 11, "width": 8}


def states(keys: int = 17, dtype: torch.dtype = torch.float32):
    torch.manual_seed(0)
    query = torch.randn(SHAPE["batch"], SHAPE["heads"], SHAPE["length"], SHAPE["width"], dtype=dtype)
    key, value = (torch.randn(SHAPE["batch"], SHAPE["kv"], keys, SHAPE["width"], dtype=dtype) for _ in range(2))
    return query, key, value


def by_softmax(query, key, value, visible=None):
    group = query.shape[1] // key.shape[1]
    key, value = (part.repeat_interleave(group, dim=1) for part in (key, value))
    scores = 0.3 * query @ key.transpose(-1, -2)
    if visible is not None:
        scores = scores.masked_fill(~visible, float("-inf"))
    return scores.softmax(-1) @ value, scores.logsumexp(-1)


@pytest.mark.parametrize("function", [attend, _attend_by_matmul])
@pytest.mark.parametrize("mask", ["none", "causal", "tree"])
def test_output_and_log_sum_exp_are_those_of_a_softmax(function, mask):
    query, key, value = states(keys=SHAPE["length"])
    causal = torch.ones(SHAPE["length"], SHAPE["length"], dtype=torch.bool).tril()[None, None]
    tree = causal & (torch.rand_like(causal.float()) > 0.3) | torch.eye(SHAPE["length"], dtype=torch.bool)
    visible = {"none": None, "causal": causal, "tree": tree}[mask]
    asked = {"visible": tree if mask == "tree" else None, "causal": mask == "causal"}
    output, total = function(query, key, value, scale=0.3, **asked, **({} if function is attend else {"softcap": None}))
    expected, expected_total = by_softmax(query, key, value, visible)
    torch.testing.assert_close(output, expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(total, expected_total, atol=1e-5, rtol=1e-5)


def test_two_parts_weighed_by_log_sum_exp_are_the_whole():
    query, key, value = states()
    first, first_total = attend(query, key[:, :, :6], value[:, :, :6], scale=0.3, visible=None, causal=False)
    second, second_total = attend(query, key[:, :, 6:], value[:, :, 6:], scale=0.3, visible=None, causal=False)
    weight = torch.sigmoid(first_total - second_total).unsqueeze(-1)
    expected, _ = by_softmax(query, key, value)
    torch.testing.assert_close(torch.lerp(second, first, weight), expected, atol=1e-5, rtol=1e-5)


def test_scores_in_chunks_are_the_same(monkeypatch):
    query, key, value = states()
    whole = _attend_by_matmul(query, key, value, scale=0.3, visible=None, causal=False, softcap=2.0)
    monkeypatch.setattr("spillover.models.attention.MATMUL_SCORES", 1)
    chunked = _attend_by_matmul(query, key, value, scale=0.3, visible=None, causal=False, softcap=2.0)
    for part, other in zip(whole, chunked, strict=True):
        torch.testing.assert_close(part, other)


def test_a_token_that_sees_nothing_weighs_nothing():
    query, key, value = states()
    blind = torch.zeros(1, 1, SHAPE["length"], 17, dtype=torch.bool)
    output, total = _attend_by_matmul(query, key, value, scale=0.3, visible=blind, causal=False, softcap=None)
    assert (output == 0).all()
    assert (total == float("-inf")).all()
