"""Did the content survive? Empty and truncated texts, lost numbers, encoding damage, markup."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from spillover.core.types import Severity
from spillover.stages.audit.encoding import repair_mojibake, unescape
from spillover.stages.audit.exchanged_fields import exchanged_item_numbers
from spillover.stages.audit.expected_lengths import log_shares, median
from spillover.stages.audit.inputs import Fault, LanguageRows
from spillover.stages.audit.messages import counted
from spillover.stages.audit.profile import LanguageProfiles
from spillover.stages.audit.row_repairs import RestoreText
from spillover.stages.audit.text_features import TAG

UNPAIRED_TAGS = ("br", "hr", "img", "p", "li")
LOST = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ufffd]|\?{4,}")
LEAST_SPREAD = 0.08  # of log lengths: below it every ratio would stand out
NEARLY_EMPTY = 0.2  # share left of a text
ANSWER_LENGTH = 60  # weighted characters in most languages, below which an answer is terse, not cut
HABIT = 0.95  # share of a language's texts with final punctuation, from which one without it is suspicious
MAD_TO_SD = 1.4826  # median absolute deviation → standard deviation of a normal distribution


def empty_fields(rows: LanguageRows) -> Iterator[Fault]:
    """Fields without a letter or a digit. Cannot see a text that says nothing in words."""
    empty = [row.id for row in rows.rows if _has_empty_field(row.fields.values())]
    empty_in_reference = {row.id for row, other in rows.with_counterparts() if _has_empty_field(other.fields.values())}
    ids = [example_id for example_id in empty if example_id not in empty_in_reference]
    if ids:
        yield Fault(
            f"{counted(len(ids), 'have')} an empty field",
            ids,
            suggestion="translate them again, or leave them out in all languages",
        )


def _has_empty_field(texts: Iterable[str]) -> bool:
    return not all(any(map(str.isalnum, text)) for text in texts)


def truncated_texts(languages: LanguageProfiles) -> Iterator[Fault]:
    """Texts that are shorter than the other languages' lengths predict, also beside the rest of their own language.

    Sees a translation that stops half way: `length_ratio` of the expected length and `length_spread` robust standard
    deviations, or `cut_ratio` and `cut_spread` where the final punctuation is missing too that the other languages
    have. Passes over rows that `exchanged-fields` explains, and over answers of an item that are no longer than a short
    sentence. Cannot see one that lost a few words, nor a text that was filled up again; in a language without final
    punctuation (Thai), or of terse texts, it passes over some that kept nearly half.
    """
    ids, letters, limits = languages.item_ids(), languages.letters(), languages.thresholds
    exchanged, judged = exchanged_item_numbers(languages), _long_enough(languages)
    for code, log_share, cut in _lengths_left(languages):
        has_letters = (letters[languages.codes.index(code)] > 0) & judged
        short = has_letters & _too_short(log_share, limits.length_ratio, limits.length_spread)
        short |= has_letters & cut & _too_short(log_share, limits.cut_ratio, limits.cut_spread)
        short[list(exchanged.get(code, ()))] = False
        items = np.flatnonzero(short.any(axis=1))
        if len(items):
            share_left = np.exp(np.where(short, log_share, 0).min(axis=1))
            yield Fault(
                f"{counted(len(items), 'are')} much shorter than in the other languages",
                [ids[i] for i in items],
                code,
                evidence={
                    "share left": {ids[i]: round(float(share_left[i]), 2) for i in items},
                    "no mark at the end": [ids[i] for i in items if (short & cut)[i].any()],
                    "nearly empty": int((share_left[items] < NEARLY_EMPTY).sum()),
                },
                certainty="likely",
                suggestion="translate them again",
            )


def _long_enough(languages: LanguageProfiles) -> NDArray[np.bool_]:
    """[items, fields] whether a text is long enough to be cut: every field, and answers of at least `ANSWER_LENGTH`."""
    long_enough = median(languages.shapes()[..., 0].astype(np.float64), 0) >= np.log1p(ANSWER_LENGTH)
    long_enough[:, : len(languages.task.fields)] = True
    return np.asarray(long_enough)


def _lengths_left(languages: LanguageProfiles) -> Iterator[tuple[str, NDArray[np.float64], NDArray[np.bool_]]]:
    """(language, [items, fields] log of the share that is left of the expected length, [items, fields] whether the
    final punctuation is lost)."""
    ends, present = languages.ends(), languages.present()
    n_ended, n_present = ends.sum(axis=0), present.sum(axis=0)[:, None]
    for code, log_share in log_shares(languages).items():
        number = languages.codes.index(code)
        share_ended = (n_ended - ends[number]) / np.maximum(n_present - present[number][:, None], 1)
        whole = log_share >= median(log_share, 0) - 1e-9
        yield code, log_share, _lost_punctuation(ends[number], share_ended >= languages.thresholds.consensus, whole)


def _lost_punctuation(
    ended: NDArray[np.bool_], expected: NDArray[np.bool_], whole: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """[items, fields] where final punctuation is expected and missing, in fields where the language's texts of at least
    usual length nearly always have it."""
    habit = (ended & expected & whole).sum(axis=0) / np.maximum((expected & whole).sum(axis=0), 1)
    return np.asarray(expected & ~ended & (habit >= HABIT))


def _too_short(log_share: NDArray[np.float64], ratio: float, spreads: float) -> NDArray[np.bool_]:
    """[items, fields] where less than `ratio` is left, and that is so many robust standard deviations below 0."""
    spread = np.maximum(MAD_TO_SD * median(np.abs(log_share - median(log_share, 0)), 0), LEAST_SPREAD)
    return np.asarray(log_share < np.minimum(np.log(ratio), -spreads * spread))


def lost_numbers(languages: LanguageProfiles) -> Iterator[Fault]:
    """Numbers (with them days and years of dates) that the other languages keep and this one does not.

    Sees numbers of at least `number_digits` digits, in any script's digits, that `consensus` of the other languages and
    the reference have. Cannot see a number or a month written in words.
    """
    numbers = _numbers(languages)
    if not numbers or len(languages.profiles) < 3:
        return
    ids, present = languages.item_ids(), languages.present()
    pairs, counts = np.unique(np.concatenate(list(numbers.values())), return_counts=True)
    items = (pairs >> np.uint64(32)).astype(np.int64)
    n_others = np.maximum(present.sum(axis=0)[items] - 1, 1)
    expected = counts >= languages.thresholds.consensus * n_others
    if languages.reference in numbers:
        expected &= np.isin(pairs, numbers[languages.reference], assume_unique=True)
    for number, code in enumerate(languages.profiles):
        lost = expected & present[number, items] & ~np.isin(pairs, numbers[code], assume_unique=True)
        rows = np.unique(items[lost])
        if len(rows):
            yield Fault(
                f"{counted(len(rows), 'lack')} a number that the other languages keep",
                [ids[i] for i in rows],
                code,
                certainty="possible",
                suggestion="compare the rows with the reference",
            )


def _numbers(languages: LanguageProfiles) -> dict[str, NDArray[np.uint64]]:
    """(item, number) pairs of each language, numbers of too few digits left out."""
    pairs = {}
    for code, profile in languages.profiles.items():
        long = profile.is_number & ((profile.anchors & np.uint32(0xF)) >= languages.thresholds.number_digits)
        items = profile.items[profile.anchor_rows[long]].astype(np.uint64)
        pairs[code] = np.unique(items << np.uint64(32) | profile.anchors[long].astype(np.uint64))
    return pairs


def mojibake(rows: LanguageRows) -> Iterator[Fault]:
    """UTF-8 that was read as another encoding.

    Certain where it decodes as UTF-8. Passes over what the reference has too in the same item, which is reported there.
    Cannot see one wrong character that somebody may have intended.
    """
    ids = _ids_with_fault(rows, lambda text: repair_mojibake(text) != text)
    if ids:
        yield Fault(
            f"{counted(len(ids), 'hold')} UTF-8 read as another encoding",
            ids,
            suggestion="`--fix` decodes them again",
            repair=RestoreText(frozenset(ids)),
        )


def lost_characters(rows: LanguageRows) -> Iterator[Fault]:
    """Replacement and control characters, and rows of question marks: what stood there cannot be restored.

    Passes over what the reference has too in the same item. Cannot see characters that were dropped.
    """
    ids = _ids_with_fault(rows, lambda text: LOST.search(text) is not None)
    if ids:
        yield Fault(
            f"{counted(len(ids), 'hold')} replacement or control characters",
            ids,
            suggestion="take the text from its source again",
        )


def escaped_texts(rows: LanguageRows) -> Iterator[Fault]:
    """HTML entities, and escapes that were escaped twice.

    Passes over what the reference has in the same item; in the reference itself it is a note. Cannot see an entity that
    is misspelled.
    """
    ids = _ids_with_fault(rows, lambda text: unescape(text) != text)
    if ids:
        yield Fault(
            f"{counted(len(ids), 'hold')} HTML entities or double escapes",
            ids,
            severity=_note_in_reference(rows),
            suggestion="`--fix` unescapes them",
            repair=RestoreText(frozenset(ids)),
        )


def broken_markup(rows: LanguageRows) -> Iterator[Fault]:
    """Tags that do not close.

    Passes over what the reference has in the same item; in the reference itself it is a note. Cannot see tags that
    close in the wrong order.
    """
    ids = _ids_with_fault(rows, _is_unbalanced)
    if ids:
        yield Fault(
            f"{counted(len(ids), 'have')} tags that do not close",
            ids,
            severity=_note_in_reference(rows),
            suggestion="repair or drop the tags",
        )


def _note_in_reference(rows: LanguageRows) -> Severity | None:
    return None if rows.reference else "note"


def _is_unbalanced(text: str) -> bool:
    counts: dict[str, int] = {}
    for match in TAG.finditer(text):
        tag = match[1].lower()
        if not match[0].endswith("/>") and tag not in UNPAIRED_TAGS:
            counts[tag] = counts.get(tag, 0) + (-1 if match[0].startswith("</") else 1)
    return any(counts.values())


def _ids_with_fault(rows: LanguageRows, has_fault: Callable[[str], bool]) -> list[str]:
    """Ids of rows with the fault in a text whose counterpart in the reference does not have it."""
    ids = []
    for row in rows.rows:
        counterpart = rows.reference.get(row.id)
        others = rows.texts(counterpart) if counterpart else {}
        for name, text in rows.texts(row).items():
            if has_fault(text) and not has_fault(others.get(name, "")):
                ids.append(row.id)
                break
    return ids
