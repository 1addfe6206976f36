"""Label words → token ids at the true boundary.

A label's tokens are those of the whole text `prompt + label`, found by character offset, never those of the label
alone: tokenizers look across the boundary. Where a token holds both the prompt's end and the label's start, all labels
are scored from the last token boundary that they share, so that their log-probabilities stay comparable.

Whole texts, without a prompt, are scored after the tokenizer's begin token, or where it has none after its end token,
also where the tokenizer itself would not put one there: the first token needs something that predicts it. Other tools
do the same (lm-evaluation-harness for MultiBLiMP and BLiMP), so that the sums agree with theirs.
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

    from spillover.models.chat import ChatTemplate


@dataclass(frozen=True)
class TokenizedPrompt:
    """`context`: the tokens before every label, never empty. `labels`: the tokens that each label's log-probability
    sums. `merged`: the boundary fell inside a token, so the labels start before the prompt's end. `question`: the index
    of the item's first token, after the shots; of a whole text, after the begin token."""

    context: tuple[int, ...]
    labels: tuple[tuple[int, ...], ...]
    merged: bool
    question: int


@dataclass(frozen=True)
class LabelTree:
    """Label tokens as a tree after a prompt's last token, so that labels share their first tokens.

    tokens: one per node. parents: the node before each, -1 for the prompt's last token. paths: per label, the nodes
    that predict its tokens, beginning with -1; the last token of a label predicts nothing and is no node.
    """

    tokens: tuple[int, ...]
    parents: tuple[int, ...]
    paths: tuple[tuple[int, ...], ...]

    def ancestors(self, node: int) -> list[int]:
        """The node and all before it, up to the prompt."""
        path = []
        while node >= 0:
            path.append(node)
            node = self.parents[node]
        return path


def label_tree(labels: Sequence[Sequence[int]]) -> LabelTree:
    """The tree of all but the last token of every label."""
    nodes: dict[tuple[int, ...], int] = {(): -1}
    paths = []
    for label in labels:
        starts = [tuple(label[:length]) for length in range(len(label))]
        for start in starts:
            nodes.setdefault(start, len(nodes) - 1)
        paths.append(tuple(nodes[start] for start in starts))
    grown = [start for start in nodes if start]
    return LabelTree(tuple(start[-1] for start in grown), tuple(nodes[start[:-1]] for start in grown), tuple(paths))


def paper_rule_tokens(vocabulary: Sequence[bytes], answers: Sequence[str]) -> list[list[int]]:
    """Token ids per label by the paper's rule: every vocabulary token that is a string prefix of the label word, or the
    word's first byte; a label's score is the log of the sum of their probabilities. Here for comparison alone.
    vocabulary: the bytes of each token (`vocabulary_bytes`).

    Its flaws: "n" and "ne" count for *neutral* and for *negative*; labels whose first characters share a byte share
    its token; what follows the first token does not count, so a word gets the mass of all words that begin like it.
    ModelError when no token begins a label.
    """
    words = [answer.encode() for answer in answers]
    token_ids: list[list[int]] = [[] for _ in words]
    for token, text in enumerate(vocabulary):
        for ids, word in zip(token_ids, words, strict=True):
            if text and word.startswith(text) and (len(text) == 1 or _is_text(text)):
                ids.append(token)
    for answer, ids in zip(answers, token_ids, strict=True):
        if not ids:
            raise ModelError(f"no token of the model begins the label {answer!r}", hint="--rule exact scores any label")
    return token_ids


def _is_text(raw: bytes) -> bool:
    try:
        raw.decode()
    except UnicodeDecodeError:
        return False
    return True


def tokenize_prompts(
    tokenizer: PreTrainedTokenizerBase, prompts: Sequence[Prompt], chat: ChatTemplate | None = None
) -> list[TokenizedPrompt]:
    """Each prompt, in the chat template if one is given, with each of its answers as tokens. DataError when two labels
    have the same tokens."""
    starts = [chat.text(prompt) if chat and prompt.text else prompt.text for prompt in prompts]
    questions = [
        start.rindex(prompt.turns[-1].question) if chat and start else len(prompt.prefix)
        for prompt, start in zip(prompts, starts, strict=True)
    ]
    texts = [
        start + (_at_turn_start(start, answer) if chat else answer)
        for prompt, start in zip(prompts, starts, strict=True)
        if start
        for answer in prompt.answers
    ]
    # A chat template writes the special tokens itself, that of the text's beginning too.
    encodings = iter(tokenizer(texts, add_special_tokens=chat is None).encodings or ()) if texts else iter(())
    tokenized = []
    for prompt, start, question in zip(prompts, starts, questions, strict=True):
        if not start:
            tokenized.append(_whole_texts(tokenizer, prompt))
            continue
        by_answer = [next(encodings) for _ in prompt.answers]
        tokenized.append(_split(prompt, by_answer, question, len(start)))
    return tokenized


def begin_token(tokenizer: PreTrainedTokenizerBase) -> int:
    """The token that predicts a text's first one: the begin token, else the end token. ModelError without either."""
    for token in (tokenizer.bos_token_id, tokenizer.eos_token_id):
        if token is not None:
            return int(token)
    raise ModelError(
        "the tokenizer has neither a begin nor an end token: nothing predicts a text's first token",
        hint="whole texts (kind: pairs) cannot be scored with this model",
    )


def _whole_texts(tokenizer: PreTrainedTokenizerBase, prompt: Prompt) -> TokenizedPrompt:
    """The answers as texts after the begin token."""
    begin = begin_token(tokenizer)
    rows = tokenizer(list(prompt.answers), add_special_tokens=False).input_ids
    # A tokenizer that begins a text with it all the same must not have it twice.
    texts = tuple(tuple(row[1:] if row[:1] == [begin] else row) for row in rows)
    for answer, text in zip(prompt.answers, texts, strict=True):
        if not text:
            raise DataError(
                f"{prompt.language} {prompt.example_id}: {answer!r} has no tokens", hint="leave the item out"
            )
    _check_distinct(prompt, texts)
    return TokenizedPrompt((begin,), texts, False, 1)


def _at_turn_start(start: str, answer: str) -> str:
    """An answer without its leading blank, where an assistant's turn begins with it."""
    return answer.lstrip() if start[-1].isspace() else answer


def split_at(encoding: Encoding, boundary: int) -> tuple[list[int], int, bool]:
    """(ids without what the tokenizer appends, index of the first token that reaches past `boundary`, whether it began
    before it). Characters are counted, so the tokens of one multi-byte character are never split."""
    end = len(encoding.ids)
    while end and encoding.special_tokens_mask[end - 1]:
        end -= 1
    start = _token_at(encoding, boundary)
    if start is None:
        raise ModelError(
            f"the tokenizer drops the text {encoding.ids[-8:]} after character {boundary}", hint="use another tokenizer"
        )
    span = encoding.token_to_chars(start)
    return encoding.ids[:end], start, span is not None and span[0] < boundary


def _token_at(encoding: Encoding, boundary: int) -> int | None:
    """The index of the first token that reaches past `boundary`; None where no token holds the character there."""
    start: int | None = encoding.char_to_token(boundary)
    # The first of several tokens of one character carries the same span as the others.
    while start and (span := encoding.token_to_chars(start - 1)) is not None and span[1] > boundary:
        start -= 1
    return start


def _split(prompt: Prompt, encodings: Sequence[Encoding], question: int, boundary: int) -> TokenizedPrompt:
    """question, boundary: the characters at which the item, and its answers, start."""
    parts = [split_at(encoding, boundary) for encoding in encodings]
    start = min(start for _, start, _ in parts)
    ids = [ids for ids, _, _ in parts]
    shared = min(start, common_prefix_length([row[:start] for row in ids]))
    if shared == 0:
        raise ModelError(
            f"{prompt.language} {prompt.example_id}: no token precedes the label", hint="use a longer template"
        )
    labels = tuple(tuple(row[shared:]) for row in ids)
    _check_distinct(prompt, labels)
    merged = shared < start or any(merged for _, _, merged in parts)
    # Whitespace that a tokenizer drops has no token.
    tokens = (_token_at(encodings[0], at) for at in range(question, boundary))
    first = next((token for token in tokens if token is not None), shared)
    return TokenizedPrompt(tuple(ids[0][:shared]), labels, merged, first)


def _check_distinct(prompt: Prompt, labels: Sequence[Sequence[int]]) -> None:
    for i, tokens in enumerate(labels):
        if tokens in labels[:i]:
            raise DataError(
                f"{prompt.language} {prompt.example_id}: the labels {prompt.answers[labels.index(tokens)]!r} and "
                f"{prompt.answers[i]!r} have the same tokens",
                hint="choose other label words, or a tokenizer that knows these characters",
            )


def common_prefix_length(rows: Sequence[Sequence[int]]) -> int:
    """How many leading ids all rows share."""
    first, last = min(map(tuple, rows)), max(map(tuple, rows))
    return next((i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), min(len(first), len(last)))
