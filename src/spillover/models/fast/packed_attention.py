"""Attention of texts that stand side by side in one row and do not see each other, with its own backward pass.

A layer's linear work is done on the packed row; here each group of texts of nearly one length is folded to [texts,
width] and attends causally. On CPUs one group is two batched products and a softmax whose weights are kept for the
backward pass: at the lengths of questions that trains faster than the fused kernel, whose backward pass is slow there
(EXPERIMENTS.md). transformers finds the function by name; no model code is touched.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface
from transformers.masking_utils import AttentionMaskInterface

from spillover.models.fast.prefix_attention import Segment

NAME = "spillover-packed"
# Beyond so many tokens a text the weights, quadratic in length, cost more memory than they save time.
WEIGHTS_TOKENS = 512
UNKNOWN = ("s_aux", "position_bias", "alibi", "indices", "softcap")

_SEGMENTS: ContextVar[Sequence[Segment] | None] = ContextVar("segments", default=None)


class CannotPack(Exception):
    """A layer does something that this attention does not know: its texts are padded instead."""


@contextmanager
def packed(segments: Sequence[Segment]) -> Iterator[None]:
    """Within the block, texts attend inside their segments; also in the backward pass's recomputations."""
    token = _SEGMENTS.set(segments)
    try:
        yield
    finally:
        _SEGMENTS.reset(token)


def packed_attention(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    sliding_window: int | None = None,
    **options: Any,
) -> tuple[Tensor, None]:
    """The attention of one layer, as transformers calls it. query [1, heads, t, head]; returns [1, t, heads, head]."""
    segments = _SEGMENTS.get()
    strange = [name for name in UNKNOWN if options.get(name) is not None]
    if segments is None or strange or query.shape[0] != 1:
        raise CannotPack(f"its attention has {', '.join(strange) or 'no segments'}")
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    longest = max(segment.width for segment in segments)
    if query.device.type == "cpu" and not dropout and longest <= WEIGHTS_TOKENS:
        return KeptWeights.apply(query, key, value, segments, scale, sliding_window), None  # type: ignore[no-untyped-call]
    parts = []
    for segment in segments:
        q, k, v = (_fold(states, segment) for states in (query, key, value))
        parts.append(_unfold(_fused(q, k, v, scale, dropout, sliding_window)))
    return torch.cat(parts, dim=1), None


AttentionInterface.register(NAME, packed_attention)
# Segments are causal by themselves: transformers need not build a mask.
AttentionMaskInterface.register(NAME, lambda *_, **__: None)


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
    seen = torch.ones((width, width), dtype=torch.bool, device=like.device).tril()
    if window is not None:
        seen = seen.triu(1 - window)
    return torch.zeros((width, width), dtype=like.dtype, device=like.device).masked_fill_(~seen, float("-inf"))


class KeptWeights(torch.autograd.Function):
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
        """[1, tokens, heads, size]; query, key and value are [1, heads, tokens, size]."""
        heads, kv, size = query.shape[1], key.shape[1], query.shape[3]
        output = query.new_empty((1, query.shape[2], heads, size))
        kept = []
        for segment in segments:
            own = [_flat(states, segment, kv) for states in (query, key, value)]
            mask = _mask(segment.width, window, query).repeat(heads // kv, 1)
            weights = torch.baddbmm(mask, own[0], own[1].mT, alpha=scale).softmax(-1)
            _fold(output.transpose(1, 2), segment).copy_(
                (weights @ own[2]).view(segment.rows, heads, segment.width, size)
            )
            kept += [*own, weights]
        ctx.save_for_backward(*kept)
        ctx.segments, ctx.scale, ctx.shapes = segments, scale, (query.shape, key.shape)
        return output

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of query, key and value, from the attention weights that `forward` kept."""
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
            own = _flat(out, segment, kv_shape[1])
            if by_value is not None:
                target = _fold(by_value, segment)
                target.copy_((weights.mT @ own).view(target.shape))
            if by_query is None and by_key is None:
                continue
            scores = torch._softmax_backward_data(own @ value.mT, weights, -1, weights.dtype)
            for states, left, right in ((by_query, scores, key), (by_key, scores.mT, query)):
                if states is not None:
                    part = _fold(states, segment)
                    part.copy_(torch.baddbmm(none, left, right, beta=0, alpha=ctx.scale).view(part.shape))
        return by_query, by_key, by_value, None, None, None


def _flat(states: Tensor, segment: Segment, kv: int) -> Tensor:
    """[1, heads, t, head] → [rows * kv, heads / kv * width, head]: all heads that read the same keys as one matrix."""
    return _fold(states, segment).reshape(segment.rows * kv, -1, states.shape[-1])


def _fold(states: Tensor, segment: Segment) -> Tensor:
    """[1, heads, t, head] → a view of the segment's [rows, heads, width, head]."""
    own = states[0, :, segment.start : segment.stop]
    return own.view(len(own), segment.rows, segment.width, -1).transpose(0, 1)


def _unfold(states: Tensor) -> Tensor:
    """[rows, heads, width, head] → [1, rows * width, heads, head]."""
    return states.transpose(1, 2).reshape(1, -1, states.shape[1], states.shape[3])
