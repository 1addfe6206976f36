"""Is the wording fair to every language? Label words, shots, and what a language costs under a model's tokenizer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations

import numpy as np

from spillover.core.errors import SpilloverError
from spillover.core.types import Example, Task
from spillover.stages.audit.inputs import Fault, LanguageRows, LanguageTokens, PromptTokenizer, WordingInput
from spillover.stages.audit.messages import counted
from spillover.tasks.overlap import normalise, text_key
from spillover.tasks.prompts import answers, render

NATIVE = "native"


def missing_wording(wording: WordingInput) -> Iterator[Fault]:
    """Languages with data but without template words and label words: they are left out, also of this audit, or borrow
    another language's. Cannot see words that are there and wrong."""
    for code in wording.languages:
        if lent := wording.task.wordings[code].borrowing if code in wording.task.wordings else "":
            yield Fault(
                f"its own text stands in the wording of {lent}",
                language=code,
                suggestion=f"write {code}.yaml; CONTRIBUTING.md shows how",
            )
    for code in wording.without_wording:
        yield Fault(
            "left out: the task has no wording in this language",
            language=code,
            suggestion=f"write {code}.yaml; CONTRIBUTING.md shows how",
        )


def _normalised_label_words(wording: WordingInput) -> Iterator[tuple[str, str, str, str, str]]:
    """(language, label, its word, another label, its word) for each pair of labels, the words normalised."""
    for code in wording.languages:
        if "labels" in wording.task.wordings[code].borrowed:
            continue
        words = {label: normalise(word) for label, word in wording.task.wordings[code].labels.items()}
        for first, second in combinations(wording.task.labels, 2):
            yield code, first, words[first], second, words[second]


def equal_label_words(wording: WordingInput) -> Iterator[Fault]:
    """Label words that differ only in case or punctuation. Cannot see two words that mean the same."""
    for code, first, word, second, other in _normalised_label_words(wording):
        if word == other:
            written = wording.task.wordings[code].labels[first]
            yield Fault(
                f"{first} and {second} have one word but for case and punctuation: {written}",
                language=code,
                suggestion="choose another word for one of them",
            )


def label_word_prefixes(wording: WordingInput) -> Iterator[Fault]:
    """Label words of which one is the beginning of another.

    Sees letters. Cannot see whether they share tokens: that is `label-tokens`.
    """
    for code, first, word, second, other in _normalised_label_words(wording):
        if word != other and (word.startswith(other) or other.startswith(word)):
            yield Fault(
                f"of the words for {first} and {second} one is the beginning of the other",
                language=code,
                evidence={"words": [word, other]},
                suggestion="whole label words are scored, so this costs nothing here",
            )


def unbalanced_shots(wording: WordingInput) -> Iterator[Fault]:
    """Shots that favour a class. Labels of shots cannot differ between languages: they stand once, in task.yaml.

    Cannot see a shot whose translation no longer fits its label.
    """
    labels = list(wording.task.shots.values())
    counts = {label: labels.count(label) for label in wording.task.labels}
    if labels and max(counts.values()) - min(counts.values()) > 1:
        listed = ", ".join(f"{label} {n}" for label, n in counts.items())
        yield Fault(f"the shots favour a class: {listed}", suggestion="as many shots of every class")


def repeated_shots(wording: WordingInput) -> Iterator[Fault]:
    """Shots that repeat each other. Cannot see two that say the same in other words."""
    for code in wording.languages:
        texts = _shot_texts(wording.task, code)
        repeated = [shot for shot, text in texts.items() if list(texts.values()).count(text) > 1]
        if repeated:
            yield Fault(f"shots repeat each other: {', '.join(repeated)}", language=code, suggestion="write another")


def untranslated_shots(wording: WordingInput) -> Iterator[Fault]:
    """Shots that are the reference language's text. Cannot see one that is translated in part."""
    if wording.reference not in wording.task.wordings:
        return
    reference = _shot_texts(wording.task, wording.reference)
    for code in wording.languages:
        copied = [shot for shot, text in _shot_texts(wording.task, code).items() if text == reference.get(shot)]
        if copied and code != wording.reference:
            yield Fault(
                f"shots are the {wording.reference} text: {', '.join(copied)}",
                language=code,
                suggestion="translate them",
            )


def _shot_texts(task: Task, code: str) -> dict[str, tuple[str, ...]]:
    """Each shot's normalised fields, of the language's own shots."""
    own = code in task.wordings and "shots" not in task.wordings[code].borrowed
    shots = task.wordings[code].shots if own else {}
    return {shot: text_key(Example(shot, code, fields)) for shot, fields in shots.items()}


def tokenize_language(task: Task, code: str, rows: Sequence[Example], tokenizer: PromptTokenizer) -> LanguageTokens:
    """One language under a tokenizer. rows: at least one."""
    prompts = render(task, rows, label_set=NATIVE)
    prefix = tokenizer.lengths([prompts[0].prefix])[0]
    own = task.kind != "labels"
    # An item's own answers are a part of it: the longest counts.
    bodies = [prompt.body + max(prompt.answers, key=len, default="") if own else prompt.body for prompt in prompts]
    lengths = np.array(tokenizer.lengths(bodies))
    longest_answer = 0 if own else max(tokenizer.lengths(answers(task, NATIVE, code)))
    too_long = np.flatnonzero(prefix + lengths + longest_answer > tokenizer.context)
    labels, indistinct = {}, {}
    for label_set in () if own else (NATIVE, *task.label_sets):
        try:
            labels[label_set] = tokenizer.label_tokens(render(task, rows[:1], label_set=label_set)[0])
        except SpilloverError as error:
            indistinct[label_set] = (error.message, error.hint or "choose other label words")
    return LanguageTokens(
        tokenizer.name,
        tokenizer.context,
        float(lengths.mean()),
        tuple(prompts[i].example_id for i in too_long),
        labels,
        indistinct,
    )


def label_tokens(rows: LanguageRows) -> Iterator[Fault]:
    """Label words with the same tokens in a real prompt under this tokenizer: the model cannot distinguish them. Looks
    at the first item's prompt: cannot see a boundary that merges in others only."""
    if rows.tokens is not None:
        for label_set, (message, hint) in rows.tokens.indistinct.items():
            yield Fault(
                f"{label_set} labels under {rows.tokens.tokenizer}: {message}",
                evidence={"label set": label_set},
                suggestion=hint,
            )


def shared_first_tokens(rows: LanguageRows) -> Iterator[Fault]:
    """Label words with the same first token in a real prompt under this tokenizer.

    A note, as whole words are scored; a rule that looks at the first token alone cannot distinguish them. Cannot see a
    boundary that merges in other prompts than the first.
    """
    if rows.tokens is None:
        return
    for label_set, tokens in rows.tokens.labels.items():
        first_tokens = [token_ids[0] for token_ids in tokens]
        labels = zip(rows.task.labels, first_tokens, strict=True)
        shared = [label for label, token in labels if first_tokens.count(token) > 1]
        if shared:
            yield Fault(
                f"{label_set} labels {' and '.join(shared)} begin with one token under {rows.tokens.tokenizer}",
                evidence={"label set": label_set, "tokens": [list(token_ids) for token_ids in tokens]},
                suggestion="read whole-word scores only, or choose other words",
            )


def over_context(rows: LanguageRows) -> Iterator[Fault]:
    """Items that exceed the model's context with their shots. Cannot see what a model makes of a long text within its
    context."""
    tokens = rows.tokens
    if tokens is not None and tokens.too_long:
        yield Fault(
            f"{counted(len(tokens.too_long), 'exceed')} the {tokens.context} tokens of {tokens.tokenizer}",
            tokens.too_long,
            suggestion="a model with a longer context, fewer shots, or leave them out",
        )


def token_cost(rows: LanguageRows) -> Iterator[Fault]:
    """Items that take `token_cost` times the reference language's tokens. Cannot see what that costs in quality."""
    if rows.tokens is None or rows.reference_tokens is None:
        return
    cost = rows.tokens.mean / rows.reference_tokens.mean
    if cost >= rows.thresholds.token_cost:
        yield Fault(
            f"items take {cost:.1f} times the reference's tokens under {rows.tokens.tokenizer}",
            evidence={"tokens per item": round(rows.tokens.mean, 1), "against the reference": round(cost, 2)},
            suggestion="another tokenizer, if this language matters",
        )


def label_pieces(wording: WordingInput) -> Iterator[Fault]:
    """Native label words split into `label_pieces` times as many tokens as the reference's, or as each other.

    Longer words have lower log-probabilities, so a long word is a prior against its class. Cannot see how probable the
    word is to the model as a whole.
    """
    pieces = {
        code: [len(token_ids) for token_ids in tokens.labels[NATIVE]]
        for code, tokens in wording.tokens.items()
        if NATIVE in tokens.labels
    }
    limit = wording.thresholds.label_pieces
    reference = pieces.get(wording.reference)
    usual = max(1.0, float(np.mean(reference or [1])))
    for code, counts in pieces.items():
        if max(counts) >= limit * usual or max(counts) >= limit * min(counts):
            listed = ", ".join(f"{label} {n}" for label, n in zip(wording.task.labels, counts, strict=True))
            yield Fault(
                f"native label words take many tokens under {wording.tokens[code].tokenizer}: {listed}",
                language=code,
                evidence={"tokens": counts, "reference": reference},
                suggestion="read calibrated accuracy too",
            )
