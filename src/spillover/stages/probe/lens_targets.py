"""What the logit lens measures: label words in several target sets, their first tokens, and random words as a control.

Target sets: `reference`, the reference language's label words; `native`, the language's own; `romanised`, those in
Latin script, where the wording has them; `asked`, the run's label set, where it is none of these.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from spillover.core.errors import DataError, ModelError
from spillover.core.languages import reference_language
from spillover.core.types import Prompt, Task
from spillover.models.batching import Plan, make_plan
from spillover.models.chat import ChatTemplate
from spillover.models.label_tokens import TokenizedPrompt, paper_rule_tokens, tokenize_prompts
from spillover.models.load import Model
from spillover.tasks.prompts import answers

Rule = Literal["exact", "paper"]
# The tokens of random words have at least so many letters: single letters begin too many words.
LETTERS = 2


@dataclass(frozen=True)
class LensTargets:
    """The words whose probability the lens reads in one language: those of every target set, and random ones.

    sets: names of the target sets. asked: the one that is the run's label set. labels: label ids. words: label words of
    all sets, without duplicates. random_words: token ids of each control word. word_index, control_index: [sets,
    labels], positions among `words` and, behind these, `random_words`. first_tokens: [sets][labels] token ids that
    begin this word and no other; start_tokens: [sets, labels] the first token, shared or not. n_tokens: [sets, labels].
    n_shared: [sets] first tokens left out, since more than one word begins with them. token_pool: ids of tokens that
    are letters alone.
    """

    sets: tuple[str, ...]
    asked: str
    labels: tuple[str, ...]
    words: tuple[str, ...]
    random_words: tuple[tuple[int, ...], ...]
    word_index: list[list[int]]
    control_index: list[list[int]]
    first_tokens: list[list[list[int]]]
    start_tokens: list[list[int]]
    n_tokens: list[list[int]]
    n_shared: list[int]
    token_pool: list[int]

    @property
    def n_words(self) -> int:
        """How many words are scored after every item, random ones included."""
        return len(self.words) + len(self.random_words)

    def prompts(self, prompts: Sequence[Prompt]) -> list[Prompt]:
        """The prompts with every word of the target sets as an answer."""
        return [replace(prompt, answers=self.words) for prompt in prompts]

    def plan(self, plan: Plan, budget: int) -> Plan:
        """The plan with the random words to score after every item. budget: tokens of a batch."""
        tokenized = [
            TokenizedPrompt((*plan.prefix, *item.body), (*item.labels, *self.random_words), False, item.question)
            for item in plan.items
        ]
        return make_plan(plan.prompts, tokenized, budget, shared=plan.shared)

    def gold_tokens(self, gold: str | None) -> list[int]:
        """By target set, the first token of the gold label's word."""
        label = self.labels.index(gold or "")
        return [tokens[label] for tokens in self.start_tokens]

    def described(self, vocabulary: Sequence[bytes]) -> dict[str, Any]:
        """By target set and label: the word, how many tokens it has, and which first tokens are counted, as text.
        vocabulary: the bytes of each token."""
        return {
            name: {
                label: {
                    "word": self.words[self.word_index[k][i]],
                    "tokens": self.n_tokens[k][i],
                    "first": [token_text(vocabulary[token]) for token in self.first_tokens[k][i]],
                }
                for i, label in enumerate(self.labels)
            }
            | {"shared_tokens": self.n_shared[k]}
            for k, name in enumerate(self.sets)
        }


def token_text(raw: bytes) -> str:
    """A token as text; bytes that are no complete character as hex, ⟨E6 AD⟩."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return f"⟨{raw.hex(' ').upper()}⟩"


def target_sets(task: Task, code: str, label_set: str) -> tuple[dict[str, tuple[str, ...]], str]:
    """(label words by target set, in the order of `task.labels`; the set that is the run's label set). A set with the
    same words as an earlier one is left out: in the reference language, native words are the reference's."""
    wording = task.wordings[code]
    asked_words = answers(task, label_set, code)
    candidates = {
        "reference": task.wordings[reference_language()].labels if reference_language() in task.wordings else {},
        "native": {} if "labels" in wording.borrowed else wording.labels,
        "romanised": wording.romanised,
        "asked": dict(zip(task.labels, asked_words, strict=True)),
    }
    sets: dict[str, tuple[str, ...]] = {}
    for name, by_label in candidates.items():
        words = tuple(by_label[label] for label in task.labels) if by_label else ()
        if words and words not in sets.values():
            sets[name] = words
    return sets, next(name for name, words in sets.items() if words == tuple(asked_words))


def lens_targets(
    model: Model,
    task: Task,
    prompt: Prompt,
    label_set: str,
    rule: Rule,
    letter_tokens: Sequence[int],
    rng: np.random.Generator,
    chat: ChatTemplate | None = None,
) -> LensTargets:
    """The targets of one language. prompt: any of its prompts; all tokenize their answers alike. letter_tokens: what
    random words are made of (`tokens_of_letters`). chat: the chat template that they are asked in.

    rule: "exact", first tokens that two words share count for neither; "paper", every token that the paper's rule
    takes for the word, shared ones too.
    """
    sets, asked = target_sets(task, prompt.language, label_set)
    sets = {
        name: words for name, words in sets.items() if name == asked or _distinguishable(model, prompt, words, chat)
    }
    words = tuple(dict.fromkeys(word for row in sets.values() for word in row))
    tokenized = tokenize_prompts(model.tokenizer, [replace(prompt, answers=words)], chat)[0].labels
    word_index = [[words.index(word) for word in row] for row in sets.values()]
    start_tokens = [[tokenized[i][0] for i in row] for row in word_index]
    n_tokens = [[len(tokenized[i]) for i in row] for row in word_index]
    starts = [tokens[0] for tokens in dict.fromkeys(tokenized)]
    if rule == "exact":
        first = [[[start] if starts.count(start) == 1 else [] for start in row] for row in start_tokens]
    else:
        first = [_paper_tokens(model, row) for row in sets.values()]
    of_labels = {token for tokens in tokenized for token in tokens}
    pool = [token for token in letter_tokens if token not in of_labels]
    if not pool:
        raise ModelError("no token of the vocabulary consists of letters alone", hint="report this tokenizer")
    # One random word per label, cut to the length of the label's word in each set.
    drawn = rng.choice(pool, size=(len(task.labels), max(max(row) for row in n_tokens)))
    controls = [[tuple(int(token) for token in drawn[i][:n]) for i, n in enumerate(row)] for row in n_tokens]
    random_words = tuple(dict.fromkeys(word for row in controls for word in row))
    return LensTargets(
        sets=tuple(sets),
        asked=asked,
        labels=tuple(task.labels),
        words=words,
        random_words=random_words,
        word_index=word_index,
        control_index=[[len(words) + random_words.index(word) for word in row] for row in controls],
        first_tokens=first,
        start_tokens=start_tokens,
        n_tokens=n_tokens,
        n_shared=[len({start for start in row if starts.count(start) > 1}) for row in start_tokens],
        token_pool=pool,
    )


def _distinguishable(model: Model, prompt: Prompt, words: tuple[str, ...], chat: ChatTemplate | None) -> bool:
    """Whether the tokenizer gives these words different tokens; unknown characters all have the same one."""
    try:
        tokenize_prompts(model.tokenizer, [replace(prompt, answers=words)], chat)
    except DataError:
        return False
    return True


def _paper_tokens(model: Model, words: Sequence[str]) -> list[list[int]]:
    try:
        return paper_rule_tokens(model.token_bytes, words)
    except ModelError:
        return [[] for _ in words]


def tokens_of_letters(vocabulary: Sequence[bytes]) -> list[int]:
    """Tokens of letters alone and without leading whitespace, as those of a label after a quote are. vocabulary: the
    bytes of each token."""
    texts = (raw.decode(errors="replace") for raw in vocabulary)
    return [token for token, text in enumerate(texts) if len(text) >= LETTERS and text.isalpha()]
