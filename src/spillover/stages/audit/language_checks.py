"""Is the text in its language? Equal to the reference, in another script, in another language, or half and half."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import Any

import numpy as np

from spillover.core.languages import letter_names
from spillover.core.types import Example, Finding
from spillover.stages.audit.profile import Languages, Sheet, counted
from spillover.tasks.overlap import normalise

SENTENCE = re.compile(r"(?<=[.!?。！？।])\s*")
SENTENCE_LETTERS = 20
NAME = re.compile(r"\b[A-Z\u00c0-\u00de]\w*")
CASED = {"LATIN", "GREEK"}
# A language is named from a text's beginning: the rest changes nothing but the time it takes.
BEGINNING = 160
NEAR = 3  # CLDR's distance between names of one language

Identify = Callable[[str], "str | None"]
"""A text → the code of another language than its own that it is in, or None."""


def untranslated(languages: Languages) -> Iterator[Finding]:
    """Texts that are the reference's, whole items or one field of them.

    Sees equality after case, punctuation and blanks are dropped. Passes over texts of fewer than `text_letters` letters
    and over those that half of the other languages leave alone too: names, numbers, titles. Cannot see a text that was
    copied and then changed by a word: in another script that is `wrong-script`, else `wrong-language`.
    """
    same, letters, names = languages.same(), languages.letters(), languages.names()
    codes = list(languages.profiles)
    if languages.reference not in codes:
        return
    others = np.maximum(languages.present().sum(axis=0) - 2, 1)[:, None]
    kept = (same.sum(axis=0) - same) / others >= 0.5
    flagged = same & (letters >= languages.config.text_letters) & ~kept
    whole = same.all(axis=2) & flagged.any(axis=2)
    for number, code in enumerate(codes):
        if code == languages.reference:
            continue
        part = flagged[number].any(axis=1) & ~whole[number]
        for check, rows, verb, what in (
            ("untranslated", whole[number], "are", f"the {languages.reference} text"),
            ("untranslated-field", part, "have", f"one field of the {languages.reference} text"),
        ):
            ids = [names[i] for i in np.flatnonzero(rows)]
            if ids:
                message = f"{counted(len(ids), verb)} {what}"
                mend = "translate them, or leave them out of this language"
                yield languages.finding(check, "warning", code, message, ids, mend=mend)


def wrong_script(sheet: Sheet) -> Iterator[Finding]:
    """Fields with less than `script_share` of their letters in the language's script.

    Sees English in Thai, not English in German. Capitalised words in another script are names and do not count. Passes
    over fields with fewer than `text_letters` letters left, and over the reference's own text (that is `untranslated`).
    """
    own = letter_names(sheet.language)
    if not own:
        return
    wrong: dict[str, str] = {}
    for row in sheet.rows:
        twin = sheet.reference.get(row.id)
        for name, text in row.fields.items():
            if twin is not None and text == twin.fields[name]:
                continue
            counts = script_counts(text if own & CASED else NAME.sub(" ", text))
            total = sum(counts.values())
            if (
                total >= sheet.config.text_letters
                and sum(counts[script] for script in own) < sheet.config.script_share * total
            ):
                wrong.setdefault(row.id, f"{name}: {counts.most_common(1)[0][0].lower()}")
    if wrong:
        yield sheet.finding(
            "wrong-script", "warning", f"{counted(len(wrong), 'are')} mostly in another script", list(wrong),
            evidence={"rows": wrong}, mend="translate them, or leave them out of this language",
        )  # fmt: skip


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


def wrong_language(sheet: Sheet, identify: Identify) -> Iterator[Finding]:
    """Fields that a language identifier (lingua) puts into another of the task's languages, sure of at least
    `language_confidence`.

    Sees whole fields of at least `language_letters` letters, capitalised words (names) not counted. Cannot tell
    languages that the task does not have, nor short texts; close languages (Norwegian and Danish, Malay and Indonesian)
    only when both are in the task.
    """
    wrong: dict[str, str] = {}
    for row in sheet.rows:
        twin = sheet.reference.get(row.id)
        for name, text in row.fields.items():
            if twin and text == twin.fields[name]:
                continue
            plain = NAME.sub(" ", text)
            if sum(map(str.isalpha, plain)) < sheet.config.language_letters:
                continue
            if (found := identify(plain)) is not None:
                wrong.setdefault(row.id, f"{name}: {found}")
    if wrong:
        told = ", ".join(
            f"{n} x {code}" for code, n in Counter(text.split(": ")[-1] for text in wrong.values()).items()
        )
        yield sheet.finding(
            "wrong-language", "warning", f"{counted(len(wrong), 'read')} as another language ({told})", list(wrong),
            evidence={"rows": wrong}, certainty="likely", mend="translate them, or leave them out of this language",
        )  # fmt: skip


def mixed_language(sheet: Sheet) -> Iterator[Finding]:
    """Items of which one sentence is the reference's, word for word, and another is not.

    Sees sentences of at least 20 letters. Cannot see a sentence that was left in the reference language but reworded.
    """
    mixed = [row.id for row, twin in sheet.pairs() if _shares_a_sentence(row, twin)]
    if mixed:
        yield sheet.finding(
            "mixed-language", "warning", f"{counted(len(mixed), 'have')} a sentence left untranslated", mixed,
            mend="translate the rest of them",
        )  # fmt: skip


def _shares_a_sentence(row: Example, twin: Example) -> bool:
    for name, text in row.fields.items():
        other = twin.fields[name]
        if text == other or normalise(text) == normalise(other):
            continue
        theirs = {normalise(sentence) for sentence in SENTENCE.split(other)}
        shared = theirs & {normalise(sentence) for sentence in SENTENCE.split(text)}
        if any(sum(map(str.isalpha, sentence)) >= SENTENCE_LETTERS for sentence in shared):
            return True
    return False


def identifiers(codes: Sequence[str], confidence: float) -> dict[str, Identify]:
    """For each language that lingua knows, a function that tells texts in another of `codes` from its own.

    A quick model proposes, a slow one of 300 MB confirms; it is loaded with the first proposal. A language with a
    script of its own needs no identifier: `wrong-script` sees it all. ImportError when lingua is not installed.
    """
    import lingua

    known = _lingua_codes(lingua, codes)
    shared = {code: [other for other in known if letter_names(code) & letter_names(other)] for code in known}
    found: dict[str, Identify] = {}
    for code, rivals in shared.items():
        if len(rivals) > 1:
            group = [known[rival] for rival in rivals]
            found[code] = _identifier(lingua, known[code], group, {known[rival]: rival for rival in rivals}, confidence)
    return found


def _identifier(lingua: Any, own: Any, group: Sequence[Any], names: dict[Any, str], confidence: float) -> Identify:
    # Building takes no time: lingua loads its models with the first text, once for all detectors.
    quick = lingua.LanguageDetectorBuilder.from_languages(*group).with_low_accuracy_mode().build()
    slow = lingua.LanguageDetectorBuilder.from_languages(*group).build()

    def identify(text: str) -> str | None:
        beginning = text[:BEGINNING]
        if quick.detect_language_of(beginning) in (own, None):
            return None
        best = slow.compute_language_confidence_values(text)[0]
        return names[best.language] if best.language != own and best.value >= confidence else None

    return identify


def _lingua_codes(lingua: Any, codes: Sequence[str]) -> dict[str, Any]:
    """Our codes that lingua knows → its languages. Norwegian is its Bokmål: CLDR calls them near enough."""
    import langcodes

    by_code = {language.iso_code_639_1.name.lower(): language for language in lingua.Language.all()}
    found = {}
    for code in codes:
        base = langcodes.Language.get(code).language or code
        match = base if base in by_code else langcodes.closest_match(base, list(by_code), max_distance=NEAR)[0]
        if match in by_code:
            found[code] = by_code[match]
    return found
