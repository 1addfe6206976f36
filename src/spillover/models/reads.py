"""An item's answers as questions to a server, and the answers' log-probabilities from what it says.

1. A next-token read asks for the log-probabilities of some tokens after a prompt: one read for each node of the item's
   label tree, so that all its answers share what they have in common, and all items their prefix.
2. A whole text asks for the log-probability of every token of one text. Servers then compute the text from its
   beginning; it is for texts without a prompt in front of them, which share nothing, and to check the reads.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from spillover.models.batching import Item, Plan

# More ids are refused in one request by the server that this is made for (vLLM).
MAX_TOKENS = 128

Logprobs = Mapping[tuple[int, int], float]
"""Natural log-probability by (node of the label tree, -1 for the prompt's last token; token after it)."""


@dataclass(frozen=True)
class Read:
    """What a server is asked about one prompt: the log-probabilities of `tokens` as the next one. node: of the item's
    label tree, -1 for the prompt's last token."""

    node: int
    prompt: tuple[int, ...]
    tokens: tuple[int, ...]


def next_token_reads(plan: Plan, number: int) -> list[Read]:
    """The reads of one item, those after the prompt alone first: at least one for each node that predicts a token."""
    item = plan.items[number]
    context = (*plan.prefix, *item.body)
    asked: dict[int, dict[int, None]] = {}
    for label, path in zip(item.labels, item.tree.paths, strict=True):
        for token, node in zip(label, path, strict=True):
            asked.setdefault(node, {})[token] = None
    reads = []
    for node in sorted(asked):
        branch = tuple(item.tree.tokens[ancestor] for ancestor in reversed(item.tree.ancestors(node)))
        tokens = tuple(asked[node])
        for start in range(0, len(tokens), MAX_TOKENS):
            reads.append(Read(node, (*context, *branch), tokens[start : start + MAX_TOKENS]))
    return reads


def answer_logprobs(item: Item, logprobs: Logprobs) -> list[float]:
    """The log-probability of each answer: the sum along its path through the label tree."""
    return [
        sum(logprobs[node, token] for token, node in zip(label, path, strict=True))
        for label, path in zip(item.labels, item.tree.paths, strict=True)
    ]


def whole_texts(plan: Plan, number: int) -> list[tuple[int, ...]]:
    """The prompt of one item with each of its answers."""
    item = plan.items[number]
    return [(*plan.prefix, *item.body, *label) for label in item.labels]


def is_whole(plan: Plan, number: int) -> bool:
    """Whether an item's answers are texts without a prompt (kind: pairs): one request for each text is then cheaper
    than one for each token."""
    return not plan.prompts[number].text
