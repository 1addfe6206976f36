"""What the lens looks for: label words in three writings, their first tokens, and random words with as many tokens.

Kinds: `reference`, the reference language's label words; `native`, the language's own; `romanised`, those in Latin
letters, where the wording has them; `asked`, the run's label set, where it is none of these.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from spillover.core.errors import DataError, ModelError
from spillover.core.languages import reference_language
from spillover.core.types import Prompt, Task
from spillover.models.batching import Plan, make_plan
from spillover.models.label_tokens import TokenizedPrompt, paper_rule_tokens, tokenize_prompts, vocabulary_bytes
from spillover.models.load import Model
from spillover.tasks.prompts import answers

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

# A random word's tokens have at least so many letters: single ones begin too many words.
LETTERS = 2


@dataclass(frozen=True)
class Sought:
    """One language's words. An item's words are all of `answers`, and behind them the random ones.

    kinds: names. asked: the kind of the run's label set. labels: label ids. columns, controls: [kinds, labels], which
    of the item's words is which. first: [kinds][labels] token ids that begin this word and no other. starts: [kinds,
    labels] the first token. tokens: [kinds, labels] how many. shared: [kinds] first tokens left out, since more than
    one word begins with them. pool: ids of tokens that look like words. words: how many an item has.
    """

    kinds: tuple[str, ...]
    asked: str
    labels: tuple[str, ...]
    answers: tuple[str, ...]
    columns: list[list[int]]
    controls: list[list[int]]
    first: list[list[list[int]]]
    starts: list[list[int]]
    tokens: list[list[int]]
    shared: list[int]
    pool: list[int]
    words: int

    def right(self, gold: str | None) -> list[int]:
        """By kind, the first token of the right label's word."""
        label = self.labels.index(gold or "")
        return [kind[label] for kind in self.starts]

    def described(self, tokenizer: PreTrainedTokenizerBase) -> dict[str, Any]:
        """By kind and label: the word, its tokens' number, and the first tokens that count, for a person."""
        raw = vocabulary_bytes(tokenizer)
        return {
            kind: {
                label: {
                    "word": self.answers[self.columns[k][i]],
                    "tokens": self.tokens[k][i],
                    "first": [token_text(raw[token]) for token in self.first[k][i]],
                }
                for i, label in enumerate(self.labels)
            }
            | {"shared_tokens": self.shared[k]}
            for k, kind in enumerate(self.kinds)
        }


def token_text(raw: bytes) -> str:
    """A token as text; bytes that are no whole character as hex, ⟨E6 AD⟩."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return f"⟨{raw.hex(' ').upper()}⟩"


def word_kinds(task: Task, code: str, label_set: str) -> tuple[dict[str, tuple[str, ...]], str]:
    """(label words by kind in the order of `task.labels`, the kind that is the run's label set). Kinds with the same
    words as an earlier one are left out: in the reference language, native words are the reference's."""
    wording = task.wordings[code]
    found = {
        "reference": task.wordings[reference_language()].labels if reference_language() in task.wordings else {},
        "native": wording.labels,
        "romanised": wording.romanised,
        "asked": dict(zip(task.labels, answers(task, label_set, code), strict=True)),
    }
    kinds: dict[str, tuple[str, ...]] = {}
    for kind, words in found.items():
        row = tuple(words[label] for label in task.labels) if words else ()
        if row and row not in kinds.values():
            kinds[kind] = row
    asked = tuple(found["asked"].values())
    return kinds, next(kind for kind, words in kinds.items() if words == asked)


def seek(
    model: Model, task: Task, prompts: Sequence[Prompt], label_set: str, rule: str, rng: np.random.Generator
) -> tuple[list[Prompt], Sought, list[tuple[int, ...]]]:
    """(the prompts of one language with every word to look for as an answer, what to look for, random words' tokens).

    rule: "exact", first tokens that two words share count for neither; "paper", every token that the paper's rule
    takes for the word, shared ones too.
    """
    kinds, asked = word_kinds(task, prompts[0].language, label_set)
    kinds = {kind: words for kind, words in kinds.items() if kind == asked or _told_apart(model, prompts[0], words)}
    words = tuple(dict.fromkeys(word for row in kinds.values() for word in row))
    widened = [replace(prompt, answers=words) for prompt in prompts]
    labels = tokenize_prompts(model.tokenizer, widened[:1])[0].labels
    columns = [[words.index(word) for word in row] for row in kinds.values()]
    tokens = [[len(labels[at]) for at in row] for row in columns]
    starts = [[labels[at][0] for at in row] for row in columns]
    own = list(dict.fromkeys(labels))
    beginners = [label[0] for label in own]
    alone = [[[start] if beginners.count(start) == 1 else [] for start in row] for row in starts]
    shared = [len({start for start in row if beginners.count(start) > 1}) for row in starts]
    first = alone if rule == "exact" else [_paper_tokens(model, row) for row in kinds.values()]
    pool = _pool(model.tokenizer, {token for label in labels for token in label})
    chains = rng.choice(pool, size=(len(task.labels), max(max(row) for row in tokens)))
    wanted = [[tuple(int(t) for t in chains[i][:n]) for i, n in enumerate(row)] for row in tokens]
    random = list(dict.fromkeys(word for row in wanted for word in row))
    controls = [[len(words) + random.index(word) for word in row] for row in wanted]
    sought = Sought(
        tuple(kinds), asked, task.labels, words, columns, controls, first, starts, tokens, shared, pool,
        len(words) + len(random),
    )  # fmt: skip
    return widened, sought, random


def with_random_words(plan: Plan, random: Sequence[tuple[int, ...]], budget: int) -> Plan:
    """The plan with further words to score after every item, given as tokens."""
    tokenized = [TokenizedPrompt((*plan.prefix, *item.body), (*item.labels, *random), False) for item in plan.items]
    return make_plan(plan.prompts, tokenized, budget, shared=plan.shared)


def _told_apart(model: Model, prompt: Prompt, words: tuple[str, ...]) -> bool:
    """Whether the tokenizer writes these words apart; unknown characters all have one token."""
    try:
        tokenize_prompts(model.tokenizer, [replace(prompt, answers=words)])
    except DataError:
        return False
    return True


def _paper_tokens(model: Model, words: Sequence[str]) -> list[list[int]]:
    try:
        return paper_rule_tokens(model.tokenizer, words)
    except ModelError:
        return [[] for _ in words]


def _pool(tokenizer: PreTrainedTokenizerBase, avoid: set[int]) -> list[int]:
    """Tokens of letters alone, as a label's are that stands after a quote."""
    found = [
        token
        for token, raw in enumerate(vocabulary_bytes(tokenizer))
        if token not in avoid and len(text := raw.decode(errors="replace")) >= LETTERS and text.isalpha()
    ]
    if not found:
        raise ModelError("no token of the model looks like a word", hint="report this tokenizer")
    return found
