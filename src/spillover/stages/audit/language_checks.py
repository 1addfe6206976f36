"""Is the text in its language? Equal to the reference, in another script, in another language, or half and half."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spillover.core.config import AuditThresholds
from spillover.core.languages import letter_names
from spillover.core.types import Example
from spillover.stages.audit.inputs import Fault, Identify, LanguageRows, computed_once
from spillover.stages.audit.messages import counted
from spillover.stages.audit.profile import LanguageProfiles
from spillover.tasks.overlap import normalise

SENTENCE = re.compile(r"(?<=[.!?。！？।])\s*")
SENTENCE_LETTERS = 20
NAME = re.compile(r"\b[A-Z\u00c0-\u00de]\w*")
CASED = {"LATIN", "GREEK"}
BEGINNING = 160  # characters that the quick identifier reads: the rest changes nothing but the time it takes
SAME_LANGUAGE = 3  # CLDR's distance between names of one language
HALF = 0.5  # share of the other languages that leave a text as it is: then it is no fault
TRANSLATE = "translate them, or leave them out of this language"


@dataclass(frozen=True)
class CopiedTexts:
    """[languages, items]: items that are wholly the reference's text, and those with one field of it."""

    whole: NDArray[np.bool_]
    partly: NDArray[np.bool_]


@computed_once
def _copied_texts(languages: LanguageProfiles) -> CopiedTexts:
    same, letters = languages.same(), languages.letters()
    others = np.maximum(languages.present().sum(axis=0) - 2, 1)[:, None]
    usual = (same.sum(axis=0) - same) / others >= HALF
    copied = same & (letters >= languages.thresholds.text_letters) & ~usual
    copied[languages.codes.index(languages.reference)] = False
    whole = same.all(axis=2) & copied.any(axis=2)
    return CopiedTexts(whole, copied.any(axis=2) & ~whole)


def untranslated(languages: LanguageProfiles) -> Iterator[Fault]:
    """Items that are the reference's text.

    Sees equality after case, punctuation and whitespace are dropped. Passes over texts of fewer than `text_letters`
    letters and over those that half of the other languages leave alone too: names, numbers, titles. Cannot see a text
    that was copied and then changed by a word: in another script that is `wrong-script`, else `wrong-language`.
    """
    if languages.reference in languages.profiles:
        what = f"the {languages.reference} text"
        yield from _untranslated(languages, _copied_texts(languages).whole, "are", what)


def untranslated_fields(languages: LanguageProfiles) -> Iterator[Fault]:
    """Items of which one field is the reference's text, and not all. Sees, and cannot see, what `untranslated` does."""
    if languages.reference in languages.profiles:
        what = f"one field of the {languages.reference} text"
        yield from _untranslated(languages, _copied_texts(languages).partly, "have", what)


def _untranslated(languages: LanguageProfiles, copied: NDArray[np.bool_], verb: str, what: str) -> Iterator[Fault]:
    ids = languages.item_ids()
    for code, items in zip(languages.profiles, copied, strict=True):
        if items.any():
            copies = [ids[i] for i in np.flatnonzero(items)]
            yield Fault(f"{counted(len(copies), verb)} {what}", copies, code, suggestion=TRANSLATE)


def wrong_script(rows: LanguageRows) -> Iterator[Fault]:
    """Fields with less than `script_share` of their letters in the language's script.

    Sees English in Thai, not English in German. Capitalised words in another script are names and do not count. Passes
    over fields with fewer than `text_letters` letters left, and over the reference's own text (that is `untranslated`).
    Cannot see a language whose script is not known.
    """
    wrong: dict[str, str] = {}
    for row, name, text in _translated_fields(rows):
        if script := other_script(text, rows.language, rows.thresholds):
            wrong.setdefault(row.id, f"{name}: {script}")
    if wrong:
        yield Fault(
            f"{counted(len(wrong), 'are')} mostly in another script",
            list(wrong),
            evidence={"rows": wrong},
            suggestion=TRANSLATE,
        )


def other_script(text: str, code: str, thresholds: AuditThresholds) -> str:
    """The script that most of a text's letters are in, by its name in Unicode, where it is not the language's own; ""
    else. As `wrong_script` says."""
    scripts = letter_names(code)
    if not scripts:
        return ""
    counts = script_counts(text if scripts & CASED else NAME.sub(" ", text))
    letters, expected = sum(counts.values()), sum(counts[script] for script in scripts)
    if letters < thresholds.text_letters or expected >= thresholds.script_share * letters:
        return ""
    return counts.most_common(1)[0][0].lower()


def _translated_fields(rows: LanguageRows) -> Iterator[tuple[Example, str, str]]:
    """(row, field, text) of every text that is not the reference's own."""
    for row in rows.rows:
        counterpart = rows.reference.get(row.id)
        others = rows.texts(counterpart) if counterpart else {}
        for name, text in rows.texts(row).items():
            if text != others.get(name):
                yield row, name, text


def script_counts(text: str) -> Counter[str]:
    """Letters of a text by the first word of their Unicode names."""
    counts: Counter[str] = Counter()
    for char, times in Counter(text).items():
        if char.isalpha():
            counts[_script(char)] += times
    return counts


@cache
def _script(char: str) -> str:
    return unicodedata.name(char, "UNKNOWN").split()[0]


def wrong_language(rows: LanguageRows) -> Iterator[Fault]:
    """Fields that a language identifier (lingua) assigns to another of the task's languages, with a confidence of at
    least `language_confidence`.

    Sees whole fields of at least `language_letters` letters, capitalised words (names) not counted. Cannot tell
    languages that the task does not have, nor short texts; close languages (Norwegian and Danish, Malay and Indonesian)
    only when both are in the task.
    """
    if rows.identify is None:
        return
    wrong: dict[str, tuple[str, str]] = {}
    for row, name, text in _translated_fields(rows):
        if (language := other_language(text, rows.identify, rows.thresholds)) is not None:
            wrong.setdefault(row.id, (name, language))
    if wrong:
        counts = Counter(language for _, language in wrong.values())
        listed = ", ".join(f"{n} x {code}" for code, n in counts.items())
        yield Fault(
            f"{counted(len(wrong), 'read')} as another language ({listed})",
            list(wrong),
            evidence={"rows": {example_id: ": ".join(field) for example_id, field in wrong.items()}},
            certainty="likely",
            suggestion=TRANSLATE,
        )


def other_language(text: str, identify: Identify, thresholds: AuditThresholds) -> str | None:
    """The code of the other language that a text is in; None where it is in its own, or too short. As `wrong_language`
    says."""
    plain = NAME.sub(" ", text)
    return None if sum(map(str.isalpha, plain)) < thresholds.language_letters else identify(plain)


def mixed_language(rows: LanguageRows) -> Iterator[Fault]:
    """Items of which one sentence is the reference's, word for word, and another is not.

    Sees sentences of at least 20 letters. Cannot see a sentence that was left in the reference language but reworded.
    """
    pairs = rows.with_counterparts()
    mixed = [row.id for row, other in pairs if _shares_a_sentence(rows.texts(row), rows.texts(other))]
    if mixed:
        yield Fault(
            f"{counted(len(mixed), 'have')} a sentence left untranslated",
            mixed,
            suggestion="translate the rest of them",
        )


def _shares_a_sentence(texts: Mapping[str, str], others: Mapping[str, str]) -> bool:
    return any(shares_a_sentence(text, others.get(name, "")) for name, text in texts.items())


def shares_a_sentence(text: str, other: str) -> bool:
    """Whether a text holds a sentence of another, word for word, and is not the same text. As `mixed_language` says."""
    if text == other or normalise(text) == normalise(other):
        return False
    shared = _sentences(text) & _sentences(other)
    return any(sum(map(str.isalpha, sentence)) >= SENTENCE_LETTERS for sentence in shared)


def _sentences(text: str) -> set[str]:
    return {normalise(sentence) for sentence in SENTENCE.split(text)}


def identifiers(codes: Sequence[str], confidence: float) -> dict[str, Identify]:
    """For each language that lingua knows, a function that tells texts in another of `codes` from its own.

    A quick model proposes, a slow one of 300 MB confirms; it is loaded with the first proposal. A language with a
    script of its own needs no identifier: `wrong-script` sees all of it. ImportError when lingua is not installed.
    """
    import lingua

    known = _lingua_codes(lingua, codes)
    shared = {code: [other for other in known if letter_names(code) & letter_names(other)] for code in known}
    return {
        code: _identifier(lingua, known[code], {known[rival]: rival for rival in rivals}, confidence)
        for code, rivals in shared.items()
        if len({known[rival] for rival in rivals}) > 1
    }


def _identifier(lingua: Any, own: Any, codes: dict[Any, str], confidence: float) -> Identify:
    """Tells texts in one of `codes` (by lingua's languages) from texts in `own`."""
    # Building takes no time: lingua loads its models with the first text, once for all detectors.
    quick = lingua.LanguageDetectorBuilder.from_languages(*codes).with_low_accuracy_mode().build()
    slow = lingua.LanguageDetectorBuilder.from_languages(*codes).build()

    def identify(text: str) -> str | None:
        beginning = text[:BEGINNING]
        if quick.detect_language_of(beginning) in (own, None):
            return None
        best = slow.compute_language_confidence_values(text)[0]
        return codes[best.language] if best.language != own and best.value >= confidence else None

    return identify


def _lingua_codes(lingua: Any, codes: Sequence[str]) -> dict[str, Any]:
    """Our codes that lingua knows → its languages. Norwegian is its Bokmål: CLDR calls them near enough."""
    import langcodes

    by_code = {language.iso_code_639_1.name.lower(): language for language in lingua.Language.all()}
    matches = {}
    for code in codes:
        base = langcodes.Language.get(code).language or code
        match = base if base in by_code else langcodes.closest_match(base, list(by_code), max_distance=SAME_LANGUAGE)[0]
        if match in by_code:
            matches[code] = by_code[match]
    return matches
