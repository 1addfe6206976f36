"""Attention over a shared prefix: which models allow it, and the mask of items whose labels branch off.

One row is an item: its own tokens, then each label's tokens but the last as a branch. A branch sees the prefix, the
item and itself, not the other branches, so all labels of an item are scored in one pass.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from transformers import PretrainedConfig


@dataclass(frozen=True)
class Rows:
    """A batch of items with their label branches, padded on the right.

    ids, positions: [b, t]. visible: bool [b, 1, t, prefix + t]. starts: [b], the item's own length.
    branches: per row and label, the index in the row where its branch begins.
    """

    ids: torch.Tensor
    positions: torch.Tensor
    visible: torch.Tensor
    starts: list[int]
    branches: list[list[int]]


def why_not_shared(config: PretrainedConfig, longest: int) -> str | None:
    """Why a model must be scored without a shared prefix, or None when it need not.

    A mask that is given whole replaces the model's own, so layers that look back only so far would see too much.
    """
    text: Any = config.get_text_config()
    layers = set(getattr(text, "layer_types", None) or ())
    if strange := layers - {"full_attention", "sliding_attention"}:
        return f"it has layers of type {', '.join(sorted(strange))}"
    window = getattr(text, "sliding_window", None)
    if window and longest > window and (not layers or "sliding_attention" in layers):
        return f"its sliding window of {window} tokens is shorter than the longest prompt, {longest}"
    return None


def branch_rows(
    bodies: Sequence[Sequence[int]],
    labels: Sequence[Sequence[Sequence[int]]],
    prefix: int,
    pad: int,
    device: torch.device,
) -> Rows:
    """Items and their label branches as one padded batch after a prefix of that many tokens."""
    rows = [
        list(body) + [token for label in own for token in label[:-1]] for body, own in zip(bodies, labels, strict=True)
    ]
    width = max(map(len, rows))
    ids = torch.full((len(rows), width), pad)
    positions = torch.zeros((len(rows), width), dtype=torch.long)
    own_part = torch.zeros((len(rows), width, width), dtype=torch.bool)
    causal = torch.ones((width, width), dtype=torch.bool).tril()
    branches: list[list[int]] = []
    for i, (row, body, own) in enumerate(zip(rows, bodies, labels, strict=True)):
        n = len(body)
        ids[i, : len(row)] = torch.tensor(row)
        positions[i, :n] = torch.arange(prefix, prefix + n)
        own_part[i, :n, :n] = causal[:n, :n]
        begins, at = [], n
        for label in own:
            length = len(label) - 1
            begins.append(at)
            positions[i, at : at + length] = torch.arange(prefix + n, prefix + n + length)
            own_part[i, at : at + length, :n] = True
            own_part[i, at : at + length, at : at + length] = causal[:length, :length]
            at += length
        own_part[i, at:, 0] = True  # padding must see something, or its softmax is NaN
        branches.append(begins)
    seen = torch.ones((len(rows), width, prefix), dtype=torch.bool)
    visible = torch.cat([seen, own_part], dim=2).unsqueeze(1)
    return Rows(ids.to(device), positions.to(device), visible.to(device), [len(body) for body in bodies], branches)
