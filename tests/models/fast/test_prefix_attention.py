"""Attention in parts equals one softmax over the whole, whichever way computes it."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from spillover.models.fast import prefix_attention as attention
from spillover.models.fast.prefix_attention import Layer, Sharing, by_kernel, by_products
from spillover.models.fast.segments import Segment

HEADS, GROUPS, HEAD, HELD = 6, 2, 8, 7


def tree() -> torch.Tensor:
    visible = torch.ones(1, 1, 4, 4, dtype=torch.bool).tril()
    visible[..., 3, 2] = False
    return visible


def case(*, prefix: bool = True, dtype: torch.dtype = torch.float32, **special) -> tuple[Sharing, Layer]:
    torch.manual_seed(0)
    segments = (Segment(0, 2, 5), Segment(10, 1, 4, tree()))
    positions = torch.cat([torch.arange(HELD, HELD + 5).repeat(2), torch.tensor([0, 1, 2, 2]) + HELD])
    query = torch.randn(1, HEADS, 14, HEAD, dtype=dtype)
    key, value = (torch.randn(1, GROUPS, 14, HEAD, dtype=dtype) for _ in range(2))
    held = (torch.randn(1, GROUPS, HELD, HEAD, dtype=dtype), torch.randn(1, GROUPS, HELD, HEAD, dtype=dtype))
    return Sharing(segments, positions), Layer(query, key, value, held if prefix else None, 0.3, **special)


def by_softmax(current: Sharing, layer: Layer) -> torch.Tensor:
    """One mask of [t, prefix + t], one softmax."""
    length = layer.query.shape[2]
    sees = torch.zeros(length, length, dtype=torch.bool)
    for segment in current.segments:
        for row in range(segment.rows):
            at = slice(segment.start + row * segment.width, segment.start + (row + 1) * segment.width)
            own = torch.ones(segment.width, segment.width, dtype=torch.bool).tril()
            sees[at, at] = own if segment.visible is None else segment.visible[row, 0]
    key, value, places = layer.key, layer.value, current.positions
    if layer.prefix is not None:
        key, value = (torch.cat([held, own], dim=2) for held, own in zip(layer.prefix, (key, value), strict=True))
        sees = torch.cat([torch.ones(length, HELD, dtype=torch.bool), sees], dim=1)
        places = torch.cat([torch.arange(HELD), places])
    if layer.window is not None:
        sees &= places[None] > current.positions[:, None] - layer.window
    key, value = (states.repeat_interleave(HEADS // GROUPS, dim=1) for states in (key, value))
    scores = layer.scale * layer.query.double() @ key.double().transpose(-1, -2)
    if layer.softcap is not None:
        scores = torch.tanh(scores / layer.softcap) * layer.softcap
    weights = scores.masked_fill(~sees, float("-inf")).softmax(-1)
    return (weights @ value.double()).transpose(1, 2).float()


@pytest.mark.parametrize("scores", [1, 300, 1 << 20], ids=["a token", "a row", "all"])
@pytest.mark.parametrize("special", [{}, {"window": 4}, {"window": 9}, {"softcap": 0.5}, {"prefix": False}], ids=str)
def test_blocks_of_products_are_one_softmax(special, scores, monkeypatch):
    monkeypatch.setitem(attention.BLOCK_SCORES, "cpu", scores)
    current, layer = case(**special)
    torch.testing.assert_close(by_products(current, layer), by_softmax(current, layer), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("prefix", [True, False])
def test_two_parts_of_a_fused_kernel_weighed_by_log_sum_exp_are_one_softmax(prefix):
    current, layer = case(prefix=prefix)
    torch.testing.assert_close(by_kernel(current, layer), by_softmax(current, layer), atol=1e-5, rtol=1e-5)


def test_a_kernel_is_not_asked_for_what_it_cannot_do(monkeypatch):
    """Where there is a kernel, a window or a soft-cap goes to the products."""
    _, layer = case()
    assert not attention.has_kernel(layer)
    monkeypatch.setattr(attention, "KERNEL_DEVICES", {"cpu"})
    assert attention.has_kernel(layer)
    assert not attention.has_kernel(replace(layer, window=3))
    assert not attention.has_kernel(replace(layer, softcap=3.0))


def test_the_kernel_of_a_processor_is_taken_for_small_heads_in_bfloat16_on_tiles_alone(monkeypatch):
    _, layer = case(dtype=torch.bfloat16)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: True)
    assert attention.has_kernel(layer)
    assert not attention.has_kernel(case()[1])
    monkeypatch.setattr(attention, "CPU_KERNEL_HEAD", HEAD - 1)
    assert not attention.has_kernel(layer)
    monkeypatch.undo()
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    assert not attention.has_kernel(layer)


@pytest.mark.parametrize("way", [by_products, by_kernel])
def test_bfloat16_is_close_to_float32(way):
    current, layer = case(dtype=torch.bfloat16)
    expected = by_softmax(current, layer)
    assert (way(current, layer).float() - expected).abs().max() < 0.05


def test_blocks_cover_every_token_once():
    for tokens in (0, 3, 5, 11, 100):
        seen = [
            (row, token)
            for rows, part in attention.blocks(Segment(0, 3, 5), tokens)
            for row in range(rows.start, rows.stop)
            for token in range(part.start, part.stop)
        ]
        assert sorted(seen) == [(row, token) for row in range(3) for token in range(5)]


def test_a_layer_on_another_device_gets_masks_biases_and_positions_there():
    """The row is made where the embedding is; "meta" stands for the device of a later layer."""
    current, layer = case(window=6)
    assert current.window_applies(6)
    states = (layer.query, layer.key, layer.value)
    query, key, value = (part.to("meta") for part in states)
    prefix = tuple(part.to("meta") for part in layer.prefix)
    elsewhere = replace(layer, query=query, key=key, value=value, prefix=prefix)
    by_products(current, layer)
    assert by_products(current, elsewhere).device.type == "meta"
    assert {device.type for _, device in current.biases} == {"cpu", "meta"}
    torch.testing.assert_close(by_products(current, layer), by_softmax(current, layer))
