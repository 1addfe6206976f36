"""Is a translation one? Checks of a single text beside its source, as the audit makes them of whole languages.

empty         no letter and no digit is left
untranslated  the text itself, or a whole sentence of it
language      another script, or another language by a language identifier (lingua, where it is installed)
length        far shorter or longer than its text; shorter, and without the final punctuation
numbers       a number of the text is missing
repeated      a passage again and again, or one translation for different texts
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from spillover.core.config import AuditThresholds, TranslateConfig
from spillover.core.languages import ends_with_full_stop
from spillover.core.types import Language
from spillover.stages.audit.inputs import Identify
from spillover.stages.audit.language_checks import NAME, other_language, other_script, shares_a_sentence
from spillover.stages.audit.text_features import NUMBER, ascii_digits, has_final_punctuation, weighted_length
from spillover.tasks.overlap import grams, jaccard, normalise

THRESHOLDS = {
    "text_letters", "language_letters", "script_share", "language_confidence", "length_ratio", "number_digits",
}  # fmt: skip
"""Of the audit's thresholds, those that these checks read."""
REPEATED = re.compile(r"(?P<passage>\S.{1,79}?)(?:(?P=passage)){3,}", re.DOTALL)
LEAST_LENGTH = 20  # weighted characters, below which lengths say nothing
DIFFERENT = 0.5  # Jaccard similarity of two sources, below which one translation cannot be that of both


@dataclass(frozen=True)
class RowChecks:
    """The checks of one direction. identify: tells texts in another language; None where no identifier knows it.
    known: by normalised translation the text that it is of, of all good ones so far."""

    source: Language
    target: Language
    config: TranslateConfig
    thresholds: AuditThresholds
    identify: Identify | None = None
    known: dict[str, str] = field(default_factory=dict)

    def problems(self, texts: Sequence[str], translations: Sequence[str], found: Mapping[int, str]) -> list[str]:
        """What is wrong with each translation; "" for a good one. found: by number what the translator says itself."""
        repeated = self._repeated(texts, translations)
        return [
            found.get(number, "") or self.problem(text, translation) or repeated[number]
            for number, (text, translation) in enumerate(zip(texts, translations, strict=True))
        ]

    def add(self, text: str, translation: str) -> None:
        """Keep a good translation: no other text may have it."""
        self.known.setdefault(normalise(translation), text)

    def problem(self, text: str, translation: str) -> str:
        """What is wrong with a translation by itself; "" for a good one."""
        if not any(map(str.isalnum, translation)):
            return "" if not any(map(str.isalnum, text)) else "empty: nothing came back"
        return (
            self._untranslated(text, translation)
            or self._other_language(translation)
            or self._length(text, translation)
            or self._numbers(text, translation)
            or _loop(text, translation)
        )

    def _untranslated(self, text: str, translation: str) -> str:
        letters = sum(map(str.isalpha, NAME.sub(" ", text)))
        if letters >= self.thresholds.text_letters and normalise(text) == normalise(translation):
            return f"untranslated: the {self.source.name} text"
        if shares_a_sentence(translation, text):
            return f"untranslated: a sentence of the {self.source.name} text"
        return ""

    def _other_language(self, translation: str) -> str:
        if script := other_script(translation, self.target.code, self.thresholds):
            return f"language: mostly in another script ({script})"
        other = other_language(translation, self.identify, self.thresholds) if self.identify else None
        return f"language: reads as another one ({other})" if other else ""

    def _length(self, text: str, translation: str) -> str:
        length, of_text = weighted_length(translation), weighted_length(text)
        share = length / max(of_text, 1)
        if of_text >= LEAST_LENGTH:
            expected = has_final_punctuation(text) and ends_with_full_stop(self.target.code)
            cut = expected and not has_final_punctuation(translation)
            if share < self.thresholds.length_ratio and cut:
                return f"truncated: {share:.2f} of the text's length, and no final punctuation"
            if share < self.config.shortest:
                return f"length: {share:.2f} of the text's"
        if length > self.config.longest * max(of_text, LEAST_LENGTH):
            return f"length: {share:.1f} times the text's"
        return ""

    def _numbers(self, text: str, translation: str) -> str:
        digits = self.thresholds.number_digits
        kept = {ascii_digits(match[0]) for match in NUMBER.finditer(translation)}
        for match in NUMBER.finditer(text):
            number = ascii_digits(match[0])
            if len(number) >= digits and number not in kept:
                return f"numbers: lacks {match[0]}"
        return ""

    def _repeated(self, texts: Sequence[str], translations: Sequence[str]) -> list[str]:
        """Of each translation, whether it is also that of another text, among these and the good ones so far."""
        others: dict[str, list[str]] = {}
        for text, translation in zip(texts, translations, strict=True):
            key = normalise(translation)
            others.setdefault(key, [self.known[key]] if key in self.known else []).append(text)
        problems = []
        for text, translation in zip(texts, translations, strict=True):
            enough = sum(map(str.isalpha, translation)) >= self.thresholds.text_letters
            other = next((other for other in others[normalise(translation)] if _differ(text, other)), None)
            problems.append(f"repeated: also the translation of {other[:40]!r}" if enough and other is not None else "")
        return problems


def _loop(text: str, translation: str) -> str:
    """A passage that stands four times or more in a row, where the text has none such."""
    for match in REPEATED.finditer(translation):
        if len(match[0]) >= LEAST_LENGTH and any(map(str.isalpha, match["passage"])) and not REPEATED.search(text):
            return f"repeated: {match['passage'][:40]!r} again and again"
    return ""


def _differ(text: str, other: str) -> bool:
    return jaccard(grams(normalise(text)), grams(normalise(other))) < DIFFERENT
