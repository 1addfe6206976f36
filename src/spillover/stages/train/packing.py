"""Rows of one batch → parts of at most so many tokens, each a packed row of texts that do not see each other.

Texts of nearly one length stand side by side as a segment, each padded to the longest of them: padding is under 1/24 of
a segment, and folding a segment for its attention is a view. Where a model's attention cannot be packed, a part is
[texts, longest] with padding on the right: what follows a text cannot change a causal model's loss on it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from spillover.models.fast.segments import Segment, group_by_length
from spillover.stages.train.tokenize import IGNORE, Row

Batch = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Part:
    """What is computed at once. ids, positions: [rows, width], one row where texts are packed. supervised: [n], the
    indices, counted over the whole part, whose next token is predicted; targets: [n], those tokens. segments: empty
    where texts are padded. numbers: indices of the pairs."""

    ids: torch.Tensor
    positions: torch.Tensor
    supervised: torch.Tensor
    targets: torch.Tensor
    segments: tuple[Segment, ...]
    numbers: tuple[int, ...]


def collate(rows: Sequence[Row]) -> Batch:
    """The batch as flat tensors: ids and labels [tokens], lengths and numbers [rows]; parts are made from it later,
    when it is known how many there must be."""
    return {
        "labels": torch.tensor([label for row in rows for label in row["labels"]]),
        "input_ids": torch.tensor([token for row in rows for token in row["input_ids"]]),
        "lengths": torch.tensor([len(row["input_ids"]) for row in rows]),
        "numbers": torch.tensor([row["number"] for row in rows]),
    }


@dataclass(frozen=True)
class Text:
    """One tokenised pair. ids, labels: [tokens], as in `Row`. number: the pair's index."""

    ids: torch.Tensor
    labels: torch.Tensor
    number: int

    def __len__(self) -> int:
        return len(self.ids)


def texts_of(batch: Batch) -> list[Text]:
    """The batch's texts, longest first."""
    lengths = batch["lengths"].tolist()
    ids, labels = (torch.split(batch[name], lengths) for name in ("input_ids", "labels"))
    texts = [Text(*row) for row in zip(ids, labels, batch["numbers"].tolist(), strict=True)]
    return sorted(texts, key=lambda text: (-len(text), text.number))


def fill_parts(lengths: Sequence[int], tokens: int, *, packed: bool) -> list[list[int]]:
    """Indices into `lengths`, longest first, by part: at most `tokens` tokens, with padding where texts are padded."""
    parts: list[list[int]] = []
    filled = 0
    for i, length in enumerate(lengths):
        cost = length if packed or not parts else lengths[parts[-1][0]]
        if not parts or filled + cost > tokens:
            parts.append([])
            filled, cost = 0, length
        parts[-1].append(i)
        filled += cost
    return parts


def into_parts(texts: Sequence[Text], tokens: int, *, packed: bool, at_least: int = 1) -> Iterator[Part]:
    """Parts of at most `tokens` tokens. at_least: how many parts there must be; processes whose weights are sharded
    must compute equally many."""
    groups = fill_parts([len(text) for text in texts], tokens, packed=packed)
    while len(groups) < min(at_least, len(texts)):
        largest = max(range(len(groups)), key=lambda i: len(groups[i]))
        whole = groups[largest]
        groups[largest : largest + 1] = [whole[: len(whole) // 2], whole[len(whole) // 2 :]]
    for group in groups:
        in_part = [texts[i] for i in group]
        yield pack(in_part) if packed else pad(in_part)


def pack(texts: Sequence[Text]) -> Part:
    """Texts, longest first, as one row."""
    segments: list[Segment] = []
    widths: list[int] = []
    for indices in group_by_length([len(text) for text in texts]):
        width = len(texts[indices.start])
        segments.append(Segment(sum(widths), len(indices), width))
        widths += [width] * len(indices)
    ids = torch.cat([_filled(text.ids, width, 0) for text, width in zip(texts, widths, strict=True)])
    labels = torch.cat([_filled(text.labels, width, IGNORE) for text, width in zip(texts, widths, strict=True)])
    positions = torch.cat([torch.arange(width, device=ids.device) for width in widths])
    return _part(ids[None], labels[None], positions[None], tuple(segments), texts)


def pad(texts: Sequence[Text]) -> Part:
    """Texts as rows, padded on the right."""
    width = max(map(len, texts))
    ids = torch.stack([_filled(text.ids, width, 0) for text in texts])
    labels = torch.stack([_filled(text.labels, width, IGNORE) for text in texts])
    positions = torch.arange(width, device=ids.device).expand(len(texts), -1)
    return _part(ids, labels, positions, (), texts)


def _part(
    ids: torch.Tensor,
    labels: torch.Tensor,
    positions: torch.Tensor,
    segments: tuple[Segment, ...],
    texts: Sequence[Text],
) -> Part:
    # A text's first label is never supervised, so that no text is predicted from the one before it.
    flat = labels.reshape(-1)
    targets_at = (flat != IGNORE).nonzero()[:, 0]
    numbers = tuple(text.number for text in texts)
    return Part(ids, positions, targets_at - 1, flat[targets_at], segments, numbers)


def _filled(values: torch.Tensor, width: int, filler: int) -> torch.Tensor:
    return torch.nn.functional.pad(values, (0, width - len(values)), value=filler)
