"""Is the wording fair to every language? Label words, shots, and what a language costs under a model's tokenizer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from spillover.core.config import AuditConfig
from spillover.core.errors import SpilloverError
from spillover.core.types import Example, Finding, Prompt, PromptTokenizer, Task
from spillover.stages.audit.profile import Sheet, counted
from spillover.tasks.overlap import normalise, text_key
from spillover.tasks.prompts import answers, render

NATIVE = "native"


def missing_wording(task: Task, codes: Sequence[str]) -> Iterator[Finding]:
    """Languages with data but without template words and label words: they cannot be evaluated. Cannot see words that
    are there and wrong."""
    for code in codes:
        if code not in task.wordings:
            yield Finding(
                "missing-wording", "error", task.name, code, "the task has no wording in this language",
                mend=f"write {code}.yaml; CONTRIBUTING.md shows how, or leave the language out with --lang",
            )  # fmt: skip


def similar_label_words(task: Task, codes: Sequence[str]) -> Iterator[Finding]:
    """Label words that differ only in case or marks, or of which one is the beginning of another.

    Sees letters. Whether they share tokens is the tokenizer's to say: `label-tokens`.
    """
    for code in codes:
        if code not in task.wordings:
            continue
        words = {label: normalise(word) for label, word in task.wordings[code].labels.items()}
        for first, second in _label_pairs(task):
            one, other = words[first], words[second]
            if one == other:
                yield Finding(
                    "equal-label-words", "error", task.name, code,
                    f"{first} and {second} have one word but for case and marks: {task.wordings[code].labels[first]}",
                    mend="choose another word for one of them",
                )  # fmt: skip
            elif one.startswith(other) or other.startswith(one):
                yield Finding(
                    "label-word-prefix", "note", task.name, code,
                    f"the word for {first} and the word for {second} begin alike to the end of one of them",
                    evidence={"words": [one, other]}, mend="whole label words are scored, so this costs nothing here",
                )  # fmt: skip


def _label_pairs(task: Task) -> list[tuple[str, str]]:
    return [(a, b) for i, a in enumerate(task.labels) for b in task.labels[i + 1 :]]


def shots(task: Task, codes: Sequence[str], reference: str) -> Iterator[Finding]:
    """Shots that favour a class, that repeat each other, or that were not translated.

    Labels of shots cannot differ between languages: they stand once, in task.yaml. Cannot see a shot whose translation
    no longer fits its label.
    """
    counts = {label: list(task.shots.values()).count(label) for label in task.labels}
    if task.shots and max(counts.values()) - min(counts.values()) > 1:
        told = ", ".join(f"{label} {n}" for label, n in counts.items())
        yield Finding(
            "unbalanced-shots", "warning", task.name, "", f"the shots favour a class: {told}",
            mend="as many shots of every class",
        )  # fmt: skip
    english = _shot_keys(task, reference)
    for code in codes:
        keys = _shot_keys(task, code)
        again = [shot for shot, key in keys.items() if list(keys.values()).count(key) > 1]
        if again:
            yield Finding(
                "repeated-shot", "warning", task.name, code, f"shots repeat each other: {', '.join(again)}",
                mend="write another",
            )  # fmt: skip
        left = [shot for shot, key in keys.items() if key == english.get(shot)]
        if left and code != reference:
            yield Finding(
                "untranslated-shot", "warning", task.name, code, f"shots are the {reference} text: {', '.join(left)}",
                mend="translate them",
            )  # fmt: skip


def _shot_keys(task: Task, code: str) -> dict[str, tuple[str, ...]]:
    """Each shot's normalised fields; none for a language without wording."""
    found = task.wordings[code].shots if code in task.wordings else {}
    return {shot: text_key(Example(shot, code, fields)) for shot, fields in found.items()}


def label_tokens(task: Task, code: str, rows: Sequence[Example], tokenizer: PromptTokenizer) -> Iterator[Finding]:
    """Label words with the same tokens, or with the same first token, in a real prompt under this tokenizer.

    The first is an error: the model cannot tell them apart. The second is a note, as whole words are scored; a
    rule that looks at the first token alone cannot tell them apart. Looks at the first item's prompt: cannot see a
    boundary that merges in others only.
    """
    for label_set in (NATIVE, *task.label_sets):
        prompt = render(task, rows[:1], label_set=label_set)[0]
        try:
            tokens = tokenizer.label_tokens(prompt)
        except SpilloverError as error:
            yield Finding(
                "label-tokens", "error", task.name, code, f"{label_set} labels under {tokenizer.name}: {error.message}",
                ceiling=None, evidence={"label set": label_set}, mend=error.hint or "choose other label words",
            )  # fmt: skip
            continue
        firsts = [row[0] for row in tokens]
        shared = [label for label, first in zip(task.labels, firsts, strict=True) if firsts.count(first) > 1]
        if shared:
            yield Finding(
                "shared-first-token", "note", task.name, code,
                f"{label_set} labels {' and '.join(shared)} begin with one token under {tokenizer.name}",
                evidence={"label set": label_set, "tokens": [list(row) for row in tokens]},
                mend="read whole-word scores only, or choose other words",
            )  # fmt: skip


def token_cost(sheet: Sheet, reference: float, tokenizer: PromptTokenizer) -> Iterator[Finding]:
    """Tokens per item against the reference language, and items that exceed the model's context with their shots.

    Cannot see what a model makes of a long text within its context.
    """
    prompts = render(sheet.task, sheet.rows, label_set=NATIVE)
    prefix = tokenizer.lengths([prompts[0].prefix])[0]
    lengths = np.array(tokenizer.lengths([prompt.body for prompt in prompts]))
    longest = max(tokenizer.lengths(answers(sheet.task, NATIVE, sheet.language)))
    over = np.flatnonzero(prefix + lengths + longest > tokenizer.context)
    if len(over):
        yield sheet.finding(
            "over-context", "error",
            f"{counted(len(over), 'exceed')} the {tokenizer.context} tokens of {tokenizer.name}",
            [prompts[i].example_id for i in over], mend="a model with a longer context, fewer shots, or leave them out",
        )  # fmt: skip
    cost = float(lengths.mean()) / reference if reference else float("nan")
    if cost >= sheet.config.token_cost:
        yield sheet.finding(
            "token-cost", "note", f"items take {cost:.1f} times the reference's tokens under {tokenizer.name}", (),
            evidence={"tokens per item": round(float(lengths.mean()), 1), "against the reference": round(cost, 2)},
            mend="another tokenizer, if this language matters",
        )  # fmt: skip


def tokens_per_item(task: Task, rows: Sequence[Example], tokenizer: PromptTokenizer) -> float:
    """Mean tokens of an item in its template, without shots."""
    return float(np.mean(tokenizer.lengths([prompt.body for prompt in render(task, rows, label_set=NATIVE)])))


@dataclass
class Tokens:
    """What a tokenizer makes of the languages one after the other, the reference first."""

    tokenizer: PromptTokenizer
    reference: str
    per_item: float = 0.0
    prompts: dict[str, Prompt] = field(default_factory=dict)

    def check(self, sheet: Sheet) -> Iterator[Finding]:
        """Label words and cost of one language."""
        yield from label_tokens(sheet.task, sheet.language, sheet.rows, self.tokenizer)
        yield from token_cost(sheet, self.per_item, self.tokenizer)
        if sheet.language == self.reference:
            self.per_item = tokens_per_item(sheet.task, sheet.rows, self.tokenizer)
        self.prompts[sheet.language] = render(sheet.task, sheet.rows[:1], label_set=NATIVE)[0]

    def label_pieces(self, task: Task, config: AuditConfig) -> Iterator[Finding]:
        """Native label words split into `label_pieces` times as many tokens as the reference's, or among themselves.

        Longer words have lower log-probabilities, so a long word is a prior against its class. Cannot see how likely
        the model finds the word as a whole.
        """
        pieces = {}
        for code, prompt in self.prompts.items():
            try:
                pieces[code] = [len(tokens) for tokens in self.tokenizer.label_tokens(prompt)]
            except SpilloverError:
                continue  # label_tokens reported it
        usual = max(1.0, float(np.mean(pieces.get(self.reference, [1]))))
        for code, own in pieces.items():
            if max(own) >= config.label_pieces * usual or max(own) >= config.label_pieces * min(own):
                told = ", ".join(f"{label} {n}" for label, n in zip(task.labels, own, strict=True))
                yield Finding(
                    "label-pieces", "note", task.name, code,
                    f"native label words take many tokens under {self.tokenizer.name}: {told}",
                    evidence={"tokens": own, "reference": pieces.get(self.reference)},
                    mend="read calibrated accuracy too",
                )  # fmt: skip
