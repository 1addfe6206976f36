"""Attention of texts that stand side by side in one row and do not see each other, with its own backward pass.

A layer's linear work is done on the packed row; here each group of texts of nearly one length is folded to [texts,
width] and attends causally. On CPUs one group is two batched products and a softmax whose weights are kept for the
backward pass: at the lengths of questions that trains faster than the fused kernel, whose backward pass is slow there
(experiments/2026-11-23-training-attention.md).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from spillover.models.fast.segments import (
    AttentionCall,
    Segment,
    UnsupportedAttention,
    fold,
    register_attention,
    unfold,
)

NAME = "spillover-packed"
# Beyond so many tokens a text the weights, quadratic in length, cost more memory than they save time.
WEIGHTS_TOKENS = 512

_SEGMENTS: ContextVar[Sequence[Segment] | None] = ContextVar("segments", default=None)


@contextmanager
def packed(segments: Sequence[Segment]) -> Iterator[None]:
    """Within the block, texts attend inside their segments; also in the backward pass's recomputations."""
    token = _SEGMENTS.set(segments)
    try:
        yield
    finally:
        _SEGMENTS.reset(token)


def packed_attention(call: AttentionCall) -> Tensor:
    """The attention of one layer, [1, t, heads, head], each text of the segments by itself."""
    segments = _SEGMENTS.get()
    if segments is None or call.query.shape[0] != 1:
        raise UnsupportedAttention("it does not attend to one row of segments")
    if call.softcap is not None:
        raise UnsupportedAttention("its attention has softcap")
    longest = max(segment.width for segment in segments)
    if call.query.device.type == "cpu" and not call.dropout and longest <= WEIGHTS_TOKENS:
        return AttentionWithKeptWeights.apply(  # type: ignore[no-any-return, no-untyped-call]
            call.query, call.key, call.value, segments, call.scale, call.window
        )
    outputs = []
    for segment in segments:
        query, key, value = (fold(states, segment) for states in (call.query, call.key, call.value))
        outputs.append(unfold(_fused(query, key, value, call.scale, call.dropout, call.window)))
    return torch.cat(outputs, dim=1)


register_attention(NAME, packed_attention)


def _fused(query: Tensor, key: Tensor, value: Tensor, scale: float, dropout: float, window: int | None) -> Tensor:
    """[rows, heads, width, head] of one segment, by torch's own kernel for the device."""
    narrow = window is not None and window < query.shape[2]
    return scaled_dot_product_attention(
        query,
        key,
        value,
        attn_mask=_mask(query.shape[2], window, query) if narrow else None,
        dropout_p=dropout,
        is_causal=not narrow,
        scale=scale,
        enable_gqa=query.shape[1] != key.shape[1],
    )


def _mask(width: int, window: int | None, like: Tensor) -> Tensor:
    """[width, width]: 0 where a token is seen, -inf where it is not."""
    visible = torch.ones((width, width), dtype=torch.bool, device=like.device).tril()
    if window is not None:
        visible = visible.triu(1 - window)
    return torch.zeros((width, width), dtype=like.dtype, device=like.device).masked_fill_(~visible, float("-inf"))


class AttentionWithKeptWeights(torch.autograd.Function):
    """softmax(scale q kᵀ + mask) v of every segment by batched products; grouped heads share keys without repeating
    them. One function for all segments: slices of a row would each give a gradient of the whole row's size."""

    @staticmethod
    def forward(
        ctx: Any,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        segments: Sequence[Segment],
        scale: float,
        window: int | None,
    ) -> Tensor:
        """[1, tokens, heads, head]: each segment's attention within itself."""
        heads, kv_heads, size = query.shape[1], key.shape[1], query.shape[3]
        output = query.new_empty((1, query.shape[2], heads, size))
        kept = []
        for segment in segments:
            q, k, v = (_flat(states, segment, kv_heads) for states in (query, key, value))
            mask = _mask(segment.width, window, query).repeat(heads // kv_heads, 1)
            weights = torch.baddbmm(mask, q, k.mT, alpha=scale).softmax(-1)
            fold(output.transpose(1, 2), segment).copy_((weights @ v).view(segment.rows, heads, segment.width, size))
            kept += [q, k, v, weights]
        ctx.save_for_backward(*kept)
        ctx.segments, ctx.scale, ctx.shapes = segments, scale, (query.shape, key.shape)
        return output

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of query, key and value, from the weights that the forward pass kept."""
        need_query, need_key, need_value = ctx.needs_input_grad[:3]
        kept, (shape, kv_shape) = ctx.saved_tensors, ctx.shapes
        out = gradients[0].transpose(1, 2)
        none = out.new_zeros(())
        # Token by token, as the layers' products want them.
        by_query, by_key, by_value = (
            out.new_empty((1, x[2], x[1], x[3])).transpose(1, 2) if needed else None
            for x, needed in ((shape, need_query), (kv_shape, need_key), (kv_shape, need_value))
        )
        for i, segment in enumerate(ctx.segments):
            query, key, value, weights = kept[4 * i : 4 * i + 4]
            gradient = _flat(out, segment, kv_shape[1])
            if by_value is not None:
                target = fold(by_value, segment)
                target.copy_((weights.mT @ gradient).view(target.shape))
            if by_query is None and by_key is None:
                continue
            scores = torch._softmax_backward_data(gradient @ value.mT, weights, -1, weights.dtype)
            for states, left, right in ((by_query, scores, key), (by_key, scores.mT, query)):
                if states is not None:
                    part = fold(states, segment)
                    part.copy_(torch.baddbmm(none, left, right, beta=0, alpha=ctx.scale).view(part.shape))
        return by_query, by_key, by_value, None, None, None


def _flat(states: Tensor, segment: Segment, kv_heads: int) -> Tensor:
    """[1, heads, t, head] → [rows * kv heads, heads of a group * width, head]: heads with equal keys as one matrix."""
    return fold(states, segment).reshape(segment.rows * kv_heads, -1, states.shape[-1])
