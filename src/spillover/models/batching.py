"""Items after a shared prefix → batches, each a packed row.

1. Sort the items by length and fill batches up to a token budget.
2. In a batch, items of nearly one length are side by side as a segment, padded to its longest: no gather, no copy.
3. Each item's label tokens follow its last token as a tree, and positions continue from there.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from operator import itemgetter

import numpy as np
import torch
from numpy.typing import NDArray

from spillover.core.errors import DataError
from spillover.core.types import Prompt
from spillover.models.fast.segments import Segment, group_by_length
from spillover.models.fast.workers import LEAST_TOKENS
from spillover.models.label_tokens import LabelTree, TokenizedPrompt, common_prefix_length, label_tree


@dataclass(frozen=True)
class Item:
    """One prompt after the shared prefix: its own tokens, and its labels' tokens as a tree. `context`: tokens of the
    whole prompt before the labels. `question`: how many of these stand before the item, in the shots."""

    body: tuple[int, ...]
    answers: tuple[str, ...]
    labels: tuple[tuple[int, ...], ...]
    tree: LabelTree
    context: int
    question: int

    @property
    def size(self) -> int:
        """Tokens that are computed for it."""
        return len(self.body) + len(self.tree.tokens)


@dataclass(frozen=True)
class Plan:
    """What will be computed for one list of prompts. prefix: the tokens that all share, none for whole texts. shared:
    whether they are computed once, and what an item's answers share too. batches: item numbers, longest items first."""

    prompts: tuple[Prompt, ...]
    prefix: tuple[int, ...]
    items: tuple[Item, ...]
    shared: bool
    batches: tuple[tuple[int, ...], ...]

    def size(self, number: int) -> int:
        """Tokens that are computed for one item, padding aside; the shared prefix does not count."""
        item = self.items[number]
        return item.size if self.shared else sum(item.context + len(label) for label in item.labels)

    @property
    def n_answers(self) -> int:
        """The most answers of an item."""
        return max((len(item.answers) for item in self.items), default=0)

    @property
    def computed(self) -> int:
        """Tokens that are computed for all items, padding aside."""
        return sum(map(self.size, range(len(self.items)))) + len(self.prefix) * (self.shared and bool(self.items))

    @property
    def whole(self) -> int:
        """Tokens of all prompts, were each of them computed once from its beginning."""
        return sum(len(self.prefix) + item.size for item in self.items)


@dataclass(frozen=True)
class Row:
    """A packed batch. ids, positions: [1, t]. ends: [b], the index of each item's last token before its labels.
    nodes: [b], where its tree begins."""

    ids: torch.Tensor
    positions: torch.Tensor
    segments: tuple[Segment, ...]
    ends: tuple[int, ...]
    nodes: tuple[int, ...]


def make_plan(
    prompts: Sequence[Prompt], tokenized: Sequence[TokenizedPrompt], budget: int, *, shared: bool, at_once: int = 1
) -> Plan:
    """The plan of these prompts. One token of each context stays outside the prefix: its logits predict the labels.
    budget: tokens that are computed at a time, by `at_once` batches together."""
    length = common_prefix_length([item.context[:-1] for item in tokenized]) if tokenized else 0
    items = tuple(
        Item(
            tokens.context[length:],
            prompt.answers,
            tokens.labels,
            label_tree(tokens.labels),
            len(tokens.context),
            tokens.question,
        )
        for prompt, tokens in zip(prompts, tokenized, strict=True)
    )
    plan = Plan(tuple(prompts), tokenized[0].context[:length] if tokenized else (), items, shared, ())
    sizes = [plan.size(i) for i in range(len(items))]
    batches = fill_batches(sizes, budget) if at_once == 1 else even_batches(sizes, budget, at_once)
    return replace(plan, batches=tuple(map(tuple, batches)))


def even_batches(sizes: Sequence[int], budget: int, at_once: int) -> Iterator[list[int]]:
    """Item numbers by batch, longest first, in batches of nearly as many tokens each, so that none of those who compute
    `at_once` of them waits for another. budget: tokens that are computed at a time, a batch's last item aside."""
    total = sum(sizes)
    fewest = max(1, math.ceil(total / budget))
    number = max(fewest, min(at_once * fewest, total // LEAST_TOKENS))
    order = sorted(range(len(sizes)), key=lambda i: (-sizes[i], i))
    middles = np.cumsum([sizes[i] for i in order]) - np.array([sizes[i] for i in order]) / 2
    for _, batch in groupby(zip((middles * number // max(total, 1)).tolist(), order, strict=True), key=itemgetter(0)):
        yield [i for _, i in batch]


def check_lengths(prompts: Sequence[Prompt], tokenized: Sequence[TokenizedPrompt], context: int) -> None:
    """DataError for the first prompt that is longer, with its longest answer, than `context` tokens."""
    for prompt, item in zip(prompts, tokenized, strict=True):
        length = len(item.context) + max(map(len, item.labels)) - 1
        if length > context:
            raise DataError(
                f"{prompt.language} {prompt.example_id}: the prompt has {length} tokens, "
                f"the model's context is {context}",
                hint="take a model with a longer context, or leave this item out",
            )


def token_counts(plan: Plan, items: Sequence[Item]) -> NDArray[np.int32]:
    """[items, answers] tokens of each answer, 0 where an item has no such answer."""
    counts = [[len(label) for label in item.labels] for item in items]
    return answer_table(counts, plan.n_answers, 0).astype(np.int32)


def answer_table(values: Sequence[Sequence[float]], n_answers: int, empty: float) -> NDArray[np.float32]:
    """[items, n_answers] of values by item and answer; `empty` where an item has fewer answers."""
    return np.array([[*row, *[empty] * (n_answers - len(row))] for row in values], dtype=np.float32)


def fill_batches(sizes: Sequence[int], budget: int) -> Iterator[list[int]]:
    """Item numbers by batch, longest first, so that the largest is met first; one item at the least."""
    batch: list[int] = []
    filled = 0
    for i in sorted(range(len(sizes)), key=lambda i: (-sizes[i], i)):
        if batch and filled + sizes[i] > budget:
            yield batch
            batch, filled = [], 0
        batch.append(i)
        filled += sizes[i]
    if batch:
        yield batch


def pack(items: Sequence[Item], prefix: int, device: torch.device) -> Row:
    """Items, longest first, as one row after a prefix of that many tokens."""
    ids: list[int] = []
    positions: list[int] = []
    segments, ends, nodes = [], [], []
    for indices in group_by_length([item.size for item in items]):
        group = [items[i] for i in indices]
        start, width = len(ids), group[0].size
        for item in group:
            at, length = len(ids), len(item.body)
            padding = width - item.size
            ends.append(at + length - 1)
            nodes.append(at + length)
            ids += [*item.body, *item.tree.tokens, *[0] * padding]
            depths = [len(item.tree.ancestors(node)) - 1 for node in range(len(item.tree.tokens))]
            positions += [*range(prefix, prefix + length), *(prefix + length + depth for depth in depths)]
            positions += [prefix] * padding
        segments.append(Segment(start, len(group), width, _visible(group, width, device)))
    return Row(
        torch.tensor([ids], device=device),
        torch.tensor([positions], device=device),
        tuple(segments),
        tuple(ends),
        tuple(nodes),
    )


def _visible(group: Sequence[Item], width: int, device: torch.device) -> torch.Tensor | None:
    """bool [rows, 1, width, width]: causal, but a label's token sees the item and its own branch alone. None where no
    item has a branch: padding on the right changes nothing before it."""
    if not any(item.tree.tokens for item in group):
        return None
    visible = np.repeat(np.tri(width, dtype=bool)[None], len(group), axis=0)
    for row, item in zip(visible, group, strict=True):
        length = len(item.body)
        for node in range(len(item.tree.tokens)):
            row[length + node, length:] = False
            row[length + node, [length + other for other in item.tree.ancestors(node)]] = True
    return torch.from_numpy(visible).unsqueeze(1).to(device)
