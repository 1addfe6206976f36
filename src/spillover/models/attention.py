"""Attention of many items over one shared prefix, for any transformers model that calls its attention by name.

All items of a batch stand in one row, side by side. In every layer each of them attends to two things:

1. the shared prefix: all queries of the row against one copy of its keys and values, nothing expanded or concatenated;
2. its own tokens: causal, and where labels branch off, along the item's tree.

Both come with the log-sum-exp of their scores, by which they are weighed together: exactly what one softmax over the
whole prompt gives. transformers finds the function by name (`AttentionInterface`); no model code is touched.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from transformers import AttentionInterface
from transformers.masking_utils import AttentionMaskInterface

if TYPE_CHECKING:
    from transformers import PreTrainedModel

NAME = "spillover"
# Scores of this many query rows at a time where no fused kernel fits: whole ones would fill the memory.
MATMUL_SCORES = 1 << 24
KNOWN_LAYERS = {"full_attention", "sliding_attention"}


class CannotShare(Exception):
    """A layer does something that this attention does not know: the model is scored without a shared prefix."""


def why_not_shared(module: PreTrainedModel) -> str | None:
    """Why a model must be scored without a shared prefix, or None. What it does not find, the engine's check of both
    ways finds: a model is never silently wrong."""
    if not module._can_set_attn_implementation():
        return "it does not let its attention be chosen"
    strange = set(getattr(module.config.get_text_config(), "layer_types", None) or ()) - KNOWN_LAYERS
    return f"it has layers of type {', '.join(sorted(strange))}" if strange else None


@dataclass(frozen=True)
class Segment:
    """Items of nearly one length, side by side in the row from `start`, each padded to `width` tokens.

    visible: bool [rows, 1, width, width], None where each token sees all before it.
    """

    start: int
    rows: int
    width: int
    visible: Tensor | None = None

    @property
    def stop(self) -> int:
        return self.start + self.rows * self.width


@dataclass
class Sharing:
    """What one forward pass knows: its segments, positions [t], and keys and values by layer of the prefix, each
    [1, heads, prefix, head]. `kept` collects the pass's own keys and values; None when nobody wants them."""

    segments: Sequence[Segment]
    positions: Tensor
    prefix: dict[int, tuple[Tensor, Tensor]] = field(default_factory=dict)
    kept: dict[int, tuple[Tensor, Tensor]] | None = None
    masks: dict[tuple[int, int | None], Tensor | None] = field(default_factory=dict)


_CURRENT: ContextVar[Sharing | None] = ContextVar("sharing", default=None)


@contextmanager
def sharing(module: PreTrainedModel, current: Sharing) -> Iterator[None]:
    """Within the block, the model attends as `current` says. CannotShare when its layers do not ask us."""
    before = module.config._attn_implementation
    module.set_attn_implementation(NAME)
    token = _CURRENT.set(current)
    try:
        yield
    finally:
        _CURRENT.reset(token)
        module.set_attn_implementation(before)


def shared_attention(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    sliding_window: int | None = None,
    softcap: float | None = None,
    **options: Any,
) -> tuple[Tensor, None]:
    """The attention of one layer, as transformers calls it. query [1, heads, t, head]; returns [1, t, heads, head]."""
    current = _CURRENT.get()
    strange = [name for name in ("s_aux", "position_bias", "alibi", "indices") if options.get(name) is not None]
    if current is None or dropout or strange or key.shape[-1] != value.shape[-1]:
        raise CannotShare(f"its attention has {', '.join(strange) or 'other keys than values'}")
    layer = module.layer_idx
    if current.kept is not None:
        current.kept[layer] = (key, value)
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    outputs, totals = [], []
    for number, segment in enumerate(current.segments):
        mask = _own_mask(current, number, sliding_window)
        part = [_fold(states, segment) for states in (query, key, value)]
        output, total = attend(*part, scale=scale, visible=mask, causal=mask is None, softcap=softcap)
        outputs.append(_unfold(output))
        totals.append(_unfold(total))
    own, own_total = (torch.cat(parts, dim=1) if len(parts) > 1 else parts[0] for parts in (outputs, totals))
    if layer not in current.prefix:
        return own, None
    seen = _prefix_mask(current, layer, sliding_window)
    # A token whose window holds nothing of the prefix has no visible key there, which fused kernels answer with NaN.
    attention = attend if seen is None else _attend_by_matmul
    output, total = attention(query, *current.prefix[layer], scale=scale, visible=seen, causal=False, softcap=softcap)
    weight = torch.sigmoid(total.transpose(1, 2) - own_total).unsqueeze(-1)
    return torch.lerp(own, output.transpose(1, 2), weight.to(own.dtype)), None


AttentionInterface.register(NAME, shared_attention)
# The tree and the window are ours: transformers need not build a mask.
AttentionMaskInterface.register(NAME, lambda *_, **__: None)


def attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    scale: float,
    visible: Tensor | None,
    causal: bool,
    softcap: float | None = None,
) -> tuple[Tensor, Tensor]:
    """(output [b, heads, t, head], natural log-sum-exp of the scores [b, heads, t] float32).

    key, value: [b, kv heads, k, head]; a group of heads reads the same ones. visible: bool, broadcast to [b, 1, t, k].
    """
    if softcap is None and query.device.type == "cpu" and query.dtype in (torch.float32, torch.bfloat16):
        mask = None if visible is None else _additive(visible, query.dtype)
        output, total = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(
            query, key, value, 0.0, causal, attn_mask=mask, scale=scale
        )
        return output, total
    if softcap is None and query.device.type == "cuda" and visible is None:
        group = query.shape[1] // key.shape[1]
        key, value = (states.repeat_interleave(group, dim=1) for states in (key, value))
        output, total, *_ = torch.ops.aten._scaled_dot_product_efficient_attention(
            query, key, value, None, True, 0.0, causal, scale=scale
        )
        return output, total[..., : query.shape[2]]
    return _attend_by_matmul(query, key, value, scale=scale, visible=visible, causal=causal, softcap=softcap)


def _attend_by_matmul(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    scale: float,
    visible: Tensor | None,
    causal: bool,
    softcap: float | None,
) -> tuple[Tensor, Tensor]:
    """What `attend` says, by two matrix products, with scores in float32: works everywhere."""
    batch, heads, length, width = query.shape
    groups = (batch, key.shape[1], heads // key.shape[1])
    if causal:
        visible = torch.ones((length, length), dtype=torch.bool, device=query.device).tril()[None, None]
    outputs, totals = [], []
    step = max(1, MATMUL_SCORES // (batch * heads * key.shape[2]))
    for start in range(0, length, step):
        part = query[:, :, start : start + step].reshape(*groups, -1, width)
        scores = (part.float() * scale) @ key.float().transpose(-1, -2).unsqueeze(2)
        if softcap is not None:
            scores = torch.tanh(scores / softcap) * softcap
        if visible is not None:
            rows = visible if visible.shape[2] == 1 else visible[:, :, start : start + step]
            scores = scores.masked_fill(~rows.unsqueeze(2), float("-inf"))
        total = scores.logsumexp(dim=-1)
        weights = torch.exp(scores - total.nan_to_num(neginf=0.0).unsqueeze(-1)).to(value.dtype)
        outputs.append((weights @ value.unsqueeze(2)).reshape(batch, heads, -1, width))
        totals.append(total.reshape(batch, heads, -1))
    return torch.cat(outputs, dim=2), torch.cat(totals, dim=2)


def _fold(states: Tensor, segment: Segment) -> Tensor:
    """[1, heads, t, head] → the segment's [rows, heads, width, head]; a view where the layer kept tokens together."""
    own = states[0, :, segment.start : segment.stop].transpose(0, 1)
    return own.reshape(segment.rows, segment.width, *own.shape[1:]).transpose(1, 2)


def _unfold(states: Tensor) -> Tensor:
    """[rows, heads, width, ...] → [1, rows * width, heads, ...]."""
    return states.transpose(1, 2).reshape(1, -1, states.shape[1], *states.shape[3:])


def _own_mask(current: Sharing, number: int, window: int | None) -> Tensor | None:
    """Which of its own tokens each token of a segment sees; None when that is all before it."""
    segment = current.segments[number]
    if window is None or segment.width <= window:
        return segment.visible
    if (number, window) not in current.masks:
        positions = current.positions[segment.start : segment.stop].reshape(segment.rows, segment.width)
        visible = segment.visible
        if visible is None:
            causal = torch.ones((segment.width, segment.width), dtype=torch.bool, device=positions.device).tril()
            visible = causal.expand(segment.rows, 1, -1, -1)
        near = positions[:, None, None, :] > positions[:, None, :, None] - window
        current.masks[number, window] = visible & near
    return current.masks[number, window]


def _prefix_mask(current: Sharing, layer: int, window: int | None) -> Tensor | None:
    """bool [1, 1, t, prefix]: which of the prefix's tokens each token sees; None when that is all of them."""
    length = current.prefix[layer][0].shape[2]
    if window is None or int(current.positions.max()) < window:
        return None
    if (-1, window) not in current.masks:
        places = torch.arange(length, device=current.positions.device)
        current.masks[-1, window] = (places[None, :] > current.positions[:, None] - window)[None, None]
    return current.masks[-1, window]


def _additive(visible: Tensor, dtype: torch.dtype) -> Tensor:
    """0 where a token is seen, -inf where it is not."""
    return torch.zeros(visible.shape, dtype=dtype, device=visible.device).masked_fill_(~visible, float("-inf"))
