"""The protocol of all translators, and what they have in common.

A translator is given texts and returns a translation of each. Models translate line by line: sentence models drop line
breaks, and few-shot answers end with one. `by_line` splits and joins.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from spillover.core.errors import ModelError
from spillover.core.types import Language

SHOWN = 60


class Translator(Protocol):
    """Anything that translates. name: for messages and records. fingerprint: changes with what translates."""

    name: str
    fingerprint: str

    def prompt(self, source: Language, target: Language) -> str:
        """What the model reads for one text, with {text} in its place; "" for a command, which is given the text alone.
        ModelError when it does not know a language: nothing needs to be translated to find that."""

    def translate(self, texts: Sequence[str], source: Language, target: Language, *, retry: bool = False) -> list[str]:
        """A translation of each text, in the same order; "" of a text without a word.

        retry: in the translator's other way, for texts whose translation was not good: a deterministic one would only
        repeat itself. ModelError when it cannot translate. Where only some texts could not be translated, that is an
        `IncompleteTranslation`, which holds the translations of the others."""


class IncompleteTranslation(ModelError):
    """Some texts could not be translated, or not to their end. translations: of all texts, "" or a part of these.
    reasons: why, by the text's number."""

    def __init__(
        self, name: str, texts: Sequence[str], translations: Sequence[str], reasons: Mapping[int, str]
    ) -> None:
        self.translations, self.reasons = list(translations), dict(reasons)
        number, reason = next(iter(self.reasons.items()))
        more = f", and {len(self.reasons) - 1} more" if len(self.reasons) > 1 else ""
        super().__init__(
            f"{name}: {texts[number][:SHOWN]!r}{more}: {reason}",
            hint="shorten the texts, --set translate.translator.max_new_tokens=N, or another translator",
        )


@dataclass(frozen=True)
class Line:
    """The translation of one line. problem: why it is none, or not all of it; "" for a whole one."""

    text: str
    problem: str = ""


def by_line(name: str, texts: Sequence[str], translate: Callable[[list[str]], list[Line]]) -> list[str]:
    """The translation of each text from those of its lines, its line breaks kept. translate: lines with a word in them
    → a translation of each. IncompleteTranslation as `Translator.translate`."""
    lines = [text.split("\n") for text in texts]
    asked = [line.strip() for of_text in lines for line in of_text if line.strip()]
    answers = iter(translate(asked) if asked else [])
    translations: list[str] = []
    reasons: dict[int, str] = {}
    for number, of_text in enumerate(lines):
        translated = [next(answers) if line.strip() else Line("") for line in of_text]
        translations.append("\n".join(line.text for line in translated))
        if problems := [line.problem for line in translated if line.problem]:
            reasons[number] = problems[0]
    if reasons:
        raise IncompleteTranslation(name, texts, translations, reasons)
    return translations


def unfinished(max_new_tokens: int) -> str:
    """The problem of a translation that did not end."""
    return f"its translation does not end within {max_new_tokens} tokens"


def too_long(tokens: int, limit: int) -> str:
    """The problem of a text that the translator cannot read as a whole."""
    return f"{tokens} tokens with its prompt, and the translator reads {limit}"
