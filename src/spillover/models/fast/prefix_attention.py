"""Attention of many items over one shared prefix, for any transformers model that calls its attention by name.

All items of a batch are in one row, side by side. In every layer each of them attends to two things:

1. the shared prefix: all queries of the row against one copy of its keys and values, nothing expanded or concatenated;
2. its own tokens: causal, and where labels branch off, along the item's tree.

Two ways, both exactly what a softmax over the whole prompt gives. By matrix products: a block of tokens at a time, the
scores of both parts side by side in one buffer that stays in the cache, and one softmax over them. By a fused kernel,
where there is one, it is quicker and no window or soft-cap is asked: each part by itself, weighed together by their
log-sum-exp.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from spillover.models.fast.segments import (
    AttentionCall,
    Segment,
    UnsupportedAttention,
    fold,
    register_attention,
    unfold,
)

if TYPE_CHECKING:
    from transformers import PreTrainedModel

NAME = "spillover"
# Scores in one block of matrix products. On a CPU they should stay in its cache; elsewhere, fill it with work.
BLOCK_SCORES = {"cpu": 1 << 21}
BLOCK_SCORES_ELSEWHERE = 1 << 25
# Where a fused kernel is always quicker.
KERNEL_DEVICES = {"cuda"}
# The CPU has one too. Its rate is a third of the products' (experiments/2026-11-24-attention-by-products.md), but it
# keeps no scores: with tile instructions (AMX),
# products in bfloat16 cost so little that writing, masking and normalising scores is most of the work. Heads of 64 gain
# 11 to 43 %; heads of 256 do four times the products for each score and gain nothing.
CPU_KERNEL_HEAD = 128
KNOWN_LAYERS = {"full_attention", "sliding_attention"}


def unsupported_reason(module: PreTrainedModel) -> str | None:
    """Why a model must be scored without a shared prefix; None when it need not. What this does not see, the engine's
    check of both ways does: a model is never silently wrong."""
    if not module._can_set_attn_implementation():
        return "it does not let its attention be chosen"
    unknown = set(getattr(module.config.get_text_config(), "layer_types", None) or ()) - KNOWN_LAYERS
    return f"it has layers of type {', '.join(sorted(unknown))}" if unknown else None


@dataclass
class Sharing:
    """One forward pass: its segments, positions [t], and keys and values by layer of the prefix, each [1, kv heads,
    prefix, head]. `kept` collects the pass's own keys and values; None when they are not needed."""

    segments: Sequence[Segment]
    positions: Tensor
    prefix: dict[int, tuple[Tensor, Tensor]] = field(default_factory=dict)
    kept: dict[int, tuple[Tensor, Tensor]] | None = None
    biases: dict[tuple[int, torch.device], Tensor] = field(default_factory=dict)

    def bias(self, number: int, like: Tensor) -> Tensor | None:
        """Added to the scores among a segment's own tokens, where it has a tree: 0 where a token is visible, -inf
        elsewhere. like: a tensor of the layer, whose device and precision it has."""
        visible, key = self.segments[number].visible, (number, like.device)
        if visible is not None and key not in self.biases:
            bias = torch.zeros(visible.shape, dtype=like.dtype, device=like.device)
            self.biases[key] = bias.masked_fill_(~visible.to(like.device), float("-inf"))
        return self.biases.get(key)

    def hide(self, scores: Tensor, number: int, rows: slice, tokens: slice, window: int | None) -> None:
        """Set to -inf what these tokens of these rows of a segment do not see. scores: [kv heads, rows, tokens, heads
        of a group, prefix and the segment's tokens up to the last of these]."""
        segment, bias = self.segments[number], self.bias(number, scores)
        prefix_length = scores.shape[-1] - tokens.stop
        if bias is not None:
            scores[..., prefix_length:] += bias[rows, 0, tokens, None, : tokens.stop]
        else:
            scores[..., prefix_length + tokens.start :] += self.later(tokens.stop - tokens.start, scores)
        if window is not None:
            positions = self.positions[segment.start : segment.stop].to(scores.device)
            positions = positions.view(segment.rows, segment.width)[rows]
            of_prefix = torch.arange(prefix_length, device=positions.device).expand(len(positions), -1)
            of_keys = torch.cat([of_prefix, positions[:, : tokens.stop]], dim=1)
            far = of_keys[:, None] <= positions[:, tokens, None] - window
            scores.masked_fill_(far[:, :, None], float("-inf"))

    def later(self, length: int, like: Tensor) -> Tensor:
        """[length, 1, length]: -inf where a token would see a later one, else 0."""
        key = (-length, like.device)
        if key not in self.biases:
            ahead = torch.full((length, length), float("-inf"), dtype=like.dtype, device=like.device).triu_(1)
            self.biases[key] = ahead.unsqueeze(1)
        return self.biases[key]

    def window_applies(self, window: int | None) -> bool:
        """Whether some token is further than the window from something before it."""
        return window is not None and int(self.positions.max()) >= window


_CURRENT: ContextVar[Sharing | None] = ContextVar("sharing", default=None)


@contextmanager
def sharing(module: PreTrainedModel, current: Sharing) -> Iterator[None]:
    """Within the block, the model attends as `current` says. UnsupportedAttention where a layer cannot."""
    before = module.config._attn_implementation
    module.set_attn_implementation(NAME)
    token = _CURRENT.set(current)
    try:
        yield
    finally:
        _CURRENT.reset(token)
        module.set_attn_implementation(before)


def shared_attention(call: AttentionCall) -> Tensor:
    """The attention of one layer, [1, t, heads, head]."""
    current = _CURRENT.get()
    if current is None or call.dropout:
        raise UnsupportedAttention("its attention has dropout")
    if current.kept is not None:
        current.kept[call.layer] = (call.key.contiguous(), call.value.contiguous())
    window = call.window if current.window_applies(call.window) else None
    prefix = current.prefix.get(call.layer)
    layer = Layer(call.query, call.key, call.value, prefix, call.scale, window, call.softcap)
    return (by_kernel if has_kernel(layer) else by_products)(current, layer)


register_attention(NAME, shared_attention)


@dataclass(frozen=True)
class Layer:
    """An `AttentionCall` with the layer's prefix: keys and values of its tokens, each [1, kv heads, prefix, head]; None
    without a prefix. window: None where it hides nothing."""

    query: Tensor
    key: Tensor
    value: Tensor
    prefix: tuple[Tensor, Tensor] | None
    scale: float
    window: int | None = None
    softcap: float | None = None


def by_products(current: Sharing, layer: Layer) -> Tensor:
    """[1, t, heads, head] by matrix products and a softmax, a block of tokens at a time: works everywhere."""
    heads, prefix_length = layer.query.shape[1], 0 if layer.prefix is None else layer.prefix[0].shape[2]
    output = layer.query.new_empty((1, layer.query.shape[2], heads, layer.value.shape[-1]))
    most = BLOCK_SCORES.get(output.device.type, BLOCK_SCORES_ELSEWHERE) // heads
    for number, segment in enumerate(current.segments):
        for rows, tokens in blocks(segment, most // (prefix_length + segment.width)):
            _attend_block(current, layer, number, rows, tokens, output)
    return output


def blocks(segment: Segment, tokens: int) -> Iterator[tuple[slice, slice]]:
    """Whole rows of a segment, as many as have so many tokens; or a part of one row, where that has more."""
    if tokens >= segment.width:
        step = tokens // segment.width
        for start in range(0, segment.rows, step):
            yield slice(start, min(start + step, segment.rows)), slice(0, segment.width)
        return
    step = max(1, tokens)
    for row in range(segment.rows):
        for start in range(0, segment.width, step):
            yield slice(row, row + 1), slice(start, min(start + step, segment.width))


def _attend_block(current: Sharing, layer: Layer, number: int, rows: slice, tokens: slice, output: Tensor) -> None:
    """The attention of these tokens of these rows of a segment, into their places in the output."""
    segment = current.segments[number]
    groups, prefix = layer.key.shape[1], layer.prefix
    prefix_length = 0 if prefix is None else prefix[0].shape[2]

    def part(states: Tensor, wanted: slice) -> Tensor:
        """[heads, rows, tokens, head] of the block; a view."""
        in_rows = states[0, :, segment.start + rows.start * segment.width : segment.start + rows.stop * segment.width]
        return torch.unflatten(in_rows, 1, (-1, segment.width))[:, :, wanted]

    before = slice(0, tokens.stop)
    query = torch.unflatten(part(layer.query, tokens), 0, (groups, -1)).permute(0, 2, 3, 1, 4)
    key, value = (part(states, before).flatten(0, 1) for states in (layer.key, layer.value))
    shape = query.shape[:4]
    scores = query.new_empty((*shape, prefix_length + tokens.stop))
    by_row = query.reshape(len(key), -1, query.shape[-1])
    by_group = by_row.view(groups, -1, query.shape[-1])
    if prefix is not None:
        prefix_scores = scores.view(groups, -1, scores.shape[-1])[..., :prefix_length]
        prefix_keys = prefix[0][0].transpose(1, 2)
        torch.baddbmm(prefix_scores, by_group, prefix_keys, beta=0, alpha=layer.scale, out=prefix_scores)
    item_scores = scores.view(len(key), -1, scores.shape[-1])[..., prefix_length:]
    torch.baddbmm(item_scores, by_row, key.transpose(1, 2), beta=0, alpha=layer.scale, out=item_scores)
    if layer.softcap is not None:
        scores.div_(layer.softcap).tanh_().mul_(layer.softcap)
    current.hide(scores, number, rows, tokens, layer.window)
    weights = torch.softmax(scores, dim=-1).view(item_scores.shape[0], item_scores.shape[1], -1)
    mixed = weights[..., prefix_length:] @ value
    if prefix is not None:
        mixed_by_group = mixed.view(groups, -1, value.shape[-1])
        prefix_weights = weights.view(groups, -1, weights.shape[-1])[..., :prefix_length]
        torch.baddbmm(mixed_by_group, prefix_weights, prefix[1][0], out=mixed_by_group)
    in_segment = output[0, segment.start : segment.stop].view(segment.rows, segment.width, groups, -1, value.shape[-1])
    in_segment[rows, tokens] = mixed.view(*shape, -1).permute(1, 2, 0, 3, 4)


def has_kernel(layer: Layer) -> bool:
    """Whether a fused kernel computes this layer, and sooner than products do."""
    width = layer.query.shape[-1]
    plain = layer.window is None and layer.softcap is None and layer.value.shape[-1] == width
    if not plain or width % 8:
        return False
    return layer.query.device.type in KERNEL_DEVICES or _cpu_kernel_is_quicker(layer.query)


def _cpu_kernel_is_quicker(query: Tensor) -> bool:
    on_tiles = query.device.type == "cpu" and query.dtype == torch.bfloat16 and torch.cpu._is_amx_tile_supported()
    return on_tiles and query.shape[-1] <= CPU_KERNEL_HEAD


def by_kernel(current: Sharing, layer: Layer) -> Tensor:
    """[1, t, heads, head] by a fused kernel for each part, weighed together by their log-sum-exp."""
    outputs, totals = [], []
    for number, segment in enumerate(current.segments):
        bias = current.bias(number, layer.query)
        query, key, value = (fold(states, segment) for states in (layer.query, layer.key, layer.value))
        output, total = _kernel(query, key, value, layer.scale, bias)
        outputs.append(unfold(output))
        totals.append(unfold(total))
    by_items, items_total = (torch.cat(parts, dim=1) if len(parts) > 1 else parts[0] for parts in (outputs, totals))
    if layer.prefix is None:
        return by_items
    by_prefix, prefix_total = _kernel(layer.query, *layer.prefix, layer.scale, None, causal=False)
    weight = torch.sigmoid(prefix_total.transpose(1, 2) - items_total).unsqueeze(-1)
    return torch.lerp(by_items, by_prefix.transpose(1, 2), weight.to(by_items.dtype))


def _kernel(
    query: Tensor, key: Tensor, value: Tensor, scale: float, bias: Tensor | None, causal: bool = True
) -> tuple[Tensor, Tensor]:
    """(output [b, heads, t, head], natural log-sum-exp of the scores [b, heads, t] float32). A bias stands in for
    `causal`."""
    causal = causal and bias is None
    if query.device.type == "cpu":
        output, total = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(
            query, key, value, 0.0, causal, attn_mask=bias, scale=scale
        )
        return output, total
    group = query.shape[1] // key.shape[1]
    key, value = (states.repeat_interleave(group, dim=1) for states in (key, value))
    if bias is not None:
        # The kernel reads biases whose rows begin at multiples of 16 bytes.
        room = torch.nn.functional.pad(bias, (0, -bias.shape[-1] % 8))
        bias = room[..., : bias.shape[-1]].expand(-1, query.shape[1], -1, -1)
    output, total, *_ = torch.ops.aten._scaled_dot_product_efficient_attention(
        query, key, value, bias, True, 0.0, causal, scale=scale
    )
    return output, total[..., : query.shape[2]]
