"""Label words → token ids at the true boundary.

A label's tokens are those of the whole text `prompt + label`, found by character offset, never those of the label
alone: tokenizers look across the boundary. Where a token holds both the prompt's end and the label's start, all labels
are scored from the last token boundary that they share, so that their log-probabilities stay comparable.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from spillover.core.errors import DataError, ModelError
from spillover.core.types import Prompt

if TYPE_CHECKING:
    from tokenizers import Encoding
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True)
class TokenizedPrompt:
    """`context`: the tokens before every label, never empty. `labels`: the tokens that each label's log-probability
    sums. `merged`: the boundary fell inside a token, so the labels start before the prompt's end."""

    context: tuple[int, ...]
    labels: tuple[tuple[int, ...], ...]
    merged: bool


def tokenize_prompts(tokenizer: PreTrainedTokenizerBase, prompts: Sequence[Prompt]) -> list[TokenizedPrompt]:
    """Each prompt with each of its answers as tokens. DataError when two labels have the same tokens."""
    texts = [prompt.text + answer for prompt in prompts for answer in prompt.answers]
    encodings = iter(tokenizer(texts).encodings or ()) if texts else iter(())
    tokenized = []
    for prompt in prompts:
        own = [next(encodings) for _ in prompt.answers]
        tokenized.append(_split(prompt, own, len(prompt.text)))
    return tokenized


def split_at(encoding: Encoding, boundary: int) -> tuple[list[int], int, bool]:
    """(ids without what the tokenizer appends, index of the first token that reaches past `boundary`, whether it began
    before it). Characters are counted, so the tokens of one multi-byte character are never taken apart."""
    end = len(encoding.ids)
    while end and encoding.special_tokens_mask[end - 1]:
        end -= 1
    start = encoding.char_to_token(boundary)
    if start is None:
        raise ModelError(
            f"the tokenizer drops the text {encoding.ids[-8:]} after character {boundary}", hint="use another tokenizer"
        )
    # The first of several tokens of one character carries the same span as the others.
    while start and (span := encoding.token_to_chars(start - 1)) is not None and span[1] > boundary:
        start -= 1
    span = encoding.token_to_chars(start)
    return encoding.ids[:end], start, span is not None and span[0] < boundary


def _split(prompt: Prompt, encodings: Sequence[Encoding], boundary: int) -> TokenizedPrompt:
    parts = [split_at(encoding, boundary) for encoding in encodings]
    start = min(start for _, start, _ in parts)
    ids = [ids for ids, _, _ in parts]
    shared = min(start, common_prefix_length([row[:start] for row in ids]))
    if shared == 0:
        raise ModelError(
            f"{prompt.language} {prompt.example_id}: no token stands before the label", hint="use a longer template"
        )
    labels = tuple(tuple(row[shared:]) for row in ids)
    for i, tokens in enumerate(labels):
        if tokens in labels[:i]:
            raise DataError(
                f"{prompt.language} {prompt.example_id}: the labels {prompt.answers[labels.index(tokens)]!r} and "
                f"{prompt.answers[i]!r} have the same tokens",
                hint="choose other label words, or a tokenizer that knows these characters",
            )
    merged = shared < start or any(merged for _, _, merged in parts)
    return TokenizedPrompt(tuple(ids[0][:shared]), labels, merged)


def common_prefix_length(rows: Sequence[Sequence[int]]) -> int:
    """How many leading ids all rows share."""
    first, last = min(map(tuple, rows)), max(map(tuple, rows))
    return next((i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), min(len(first), len(last)))
