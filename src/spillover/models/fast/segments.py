"""What both attention kernels share: texts side by side in one row, and how transformers calls an attention by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from torch import Tensor
from transformers import AttentionInterface
from transformers.masking_utils import AttentionMaskInterface

# A segment may waste this share of its width on padding: fewer, larger calls cost less than the tokens.
WASTE = 1 / 24
# Options of transformers' attention that change its result and that no kernel here knows.
UNKNOWN_OPTIONS = ("s_aux", "position_bias", "alibi", "indices")


class UnsupportedAttention(Exception):
    """A layer does something that a kernel does not know: the caller falls back to the model's own attention."""


@dataclass(frozen=True)
class Segment:
    """Texts of nearly one length, side by side in the row from `start`, each padded to `width` tokens.

    visible: bool [rows, 1, width, width], None where each token sees all before it.
    """

    start: int
    rows: int
    width: int
    visible: Tensor | None = None

    @property
    def stop(self) -> int:
        """Index of the first token after the segment."""
        return self.start + self.rows * self.width


def group_by_length(lengths: Sequence[int]) -> list[range]:
    """Indices of neighbours that waste little when they are padded to the first of them. lengths: longest first."""
    starts: list[int] = []
    for i, length in enumerate(lengths):
        if not starts or lengths[starts[-1]] - length > WASTE * lengths[starts[-1]]:
            starts.append(i)
    return [range(start, stop) for start, stop in pairwise([*starts, len(lengths)])]


def fold(states: Tensor, segment: Segment) -> Tensor:
    """[1, heads, t, head] → a view of the segment's [rows, heads, width, head]."""
    in_segment = states[0, :, segment.start : segment.stop]
    return in_segment.view(len(in_segment), segment.rows, segment.width, -1).transpose(0, 1)


def unfold(states: Tensor) -> Tensor:
    """[rows, heads, width, ...] → [1, rows * width, heads, ...]."""
    return states.transpose(1, 2).reshape(1, -1, states.shape[1], *states.shape[3:])


@dataclass(frozen=True)
class AttentionCall:
    """What one layer asks of its attention. query [1, heads, t, head]; key, value [1, kv heads, t, head], a group of
    heads reads the same ones. window: how far back a token sees. softcap: scores are tanh(score / softcap) *
    softcap."""

    layer: int
    query: Tensor
    key: Tensor
    value: Tensor
    scale: float
    dropout: float
    window: int | None
    softcap: float | None


def register_attention(name: str, attend: Callable[[AttentionCall], Tensor]) -> None:
    """Let transformers find `attend`, which returns [1, t, heads, head], by name; no model code is touched. No mask is
    built for it: segments are causal by themselves. It raises UnsupportedAttention for options that change the result.
    """

    def attention(
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
        unknown = [option for option in UNKNOWN_OPTIONS if options.get(option) is not None]
        if unknown:
            raise UnsupportedAttention(f"its attention has {', '.join(unknown)}")
        scale = query.shape[-1] ** -0.5 if scaling is None else scaling
        call = AttentionCall(
            getattr(module, "layer_idx", -1), query, key, value, scale, dropout, sliding_window, softcap
        )
        return attend(call), None

    AttentionInterface.register(name, attention)
    AttentionMaskInterface.register(name, lambda *_, **__: None)
