"""Did the content survive? Empty and truncated texts, lost numbers, encoding damage, markup."""

from __future__ import annotations

import html
import re
import warnings
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from spillover.core.types import Example, Finding
from spillover.stages.audit.profile import Languages, Sheet, counted

# UTF-8 read as Latin-1 or Windows-1252: a lead byte's character, then continuation bytes' characters.
CONTINUATION = "\u0080-\u00bf" + "".join(
    sorted({bytes([b]).decode("cp1252", "ignore") for b in range(0x80, 0xC0)} - {""})
)
MOJIBAKE = re.compile(f"(?:[\u00c2-\u00f4][{re.escape(CONTINUATION).replace(chr(92) + '-', '-')}]{{1,3}})+")
# One sequence alone may be meant: a capital with an accent, then a quotation mark or the blank before one. These never:
LEADS, NEAR_LEADS = "\u00c2\u00c3", "\u00c4\u00c5"
MARKS = "–—‘’“”„…•€™"
FOLLOWERS = MARKS + "\u00a0«»"
ENTITY = re.compile(r"&(?:[a-zA-Z]{2,8}|#\d{2,6}|#[xX][0-9a-fA-F]{2,5});")
ESCAPE = re.compile(r"\\(?:u[0-9a-fA-F]{4}|x[0-9a-fA-F]{2}|[nrt\"'\\/])")
TAG = re.compile(r"</?([a-zA-Z][a-zA-Z0-9]*)(?:\s[^<>]*)?/?>")
CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ufffd]|\?{4,}")
FLOOR = 0.08  # least spread of log lengths: below it every ratio would stand out
REST = 0.2  # less than this left is nearly empty
HABIT = 0.95  # share of a language's texts that end with a mark, from which one without it says something


def empty_fields(sheet: Sheet) -> Iterator[Finding]:
    """Fields without a letter or a digit. Cannot see a text that says nothing in words."""
    empty = [row.id for row in sheet.rows if not all(any(map(str.isalnum, text)) for text in row.fields.values())]
    silent = {row.id for row, twin in sheet.pairs() if not all(any(map(str.isalnum, t)) for t in twin.fields.values())}
    own = [example_id for example_id in empty if example_id not in silent]
    if own:
        yield sheet.finding(
            "empty-field", "error", f"{counted(len(own), 'have')} an empty field", own, ceiling=None,
            mend="translate them again, or leave them out in all languages",
        )  # fmt: skip


def truncated_texts(languages: Languages) -> Iterator[Finding]:
    """Texts that are shorter than what the other languages' lengths say, and below their own language's habit.

    Sees a translation that stops half way: `length_ratio` of the length to be expected and `length_spread` robust
    standard deviations, or `cut_ratio` and `cut_spread` where the mark is gone too that the other languages have at the
    end. Cannot see one that lost a few words, nor a text that was filled up again; in a language without marks (Thai),
    or of terse texts, it passes over some that kept nearly half.
    """
    if len(languages.profiles) < 2:
        return
    names, letters = languages.names(), languages.letters()
    for code, off, cut in _lengths_left(languages):
        own = letters[list(languages.profiles).index(code)] > 0
        short = (_too_short(off, languages.config.length_ratio, languages.config.length_spread)) & own
        short |= cut & own & _too_short(off, languages.config.cut_ratio, languages.config.cut_spread)
        rows = np.flatnonzero(short.any(axis=1))
        if len(rows):
            left = np.exp(np.where(short, off, 0).min(axis=1))
            yield languages.finding(
                "truncated", "warning", code, f"{counted(len(rows), 'are')} much shorter than in the other languages",
                [names[i] for i in rows], certainty="likely",
                evidence={
                    "share left": {names[i]: round(float(left[i]), 2) for i in rows},
                    "no mark at the end": [names[i] for i in rows if (short & cut)[i].any()],
                    "nearly empty": int((left[rows] < REST).sum()),
                },
                mend="translate them again",
            )  # fmt: skip


def _lengths_left(languages: Languages) -> Iterator[tuple[str, NDArray[np.float64], NDArray[np.bool_]]]:
    """(language, [items, fields] log of the share that is left of the length to be expected from the other languages,
    [items, fields] whether the mark at the end is lost). With two languages the reference is believed."""
    lengths, ends, present = languages.shapes()[..., 0].astype(np.float64), languages.ends(), languages.present()
    usual = lengths - _median(lengths, 1)[:, None]
    ended, having = ends.sum(axis=0), present.sum(axis=0)[:, None]
    for number, code in enumerate(languages.profiles):
        if len(usual) == 2 and code == languages.reference:
            continue
        off = usual[number] - _median(np.delete(usual, number, axis=0), 0)
        share = (ended - ends[number]) / np.maximum(having - present[number][:, None], 1)
        yield code, off, _marks_lost(ends[number], share >= languages.config.consensus, off >= _median(off, 0) - 1e-9)


def _marks_lost(own: NDArray[np.bool_], expected: NDArray[np.bool_], whole: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """[items, fields] where a mark is expected at the end and not there, in fields where the language's texts of at
    least usual length nearly always have it."""
    habit = (own & expected & whole).sum(axis=0) / np.maximum((expected & whole).sum(axis=0), 1)
    return np.asarray(expected & ~own & (habit >= HABIT))


def _too_short(off: NDArray[np.float64], ratio: float, spreads: float) -> NDArray[np.bool_]:
    """[items, fields] where less than `ratio` is left, and that is so many robust standard deviations below habit."""
    spread = np.maximum(1.4826 * _median(np.abs(off - _median(off, 0)), 0), FLOOR)
    return np.asarray(off < np.minimum(np.log(ratio), -spreads * spread))


def _median(values: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
    """The median without NaN; NaN where there is nothing else, such as an item that no other language has."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return np.asarray(np.nanmedian(values, axis=axis))


def lost_numbers(languages: Languages) -> Iterator[Finding]:
    """Numbers (with them days and years of dates) that the other languages keep and this one does not.

    Sees numbers of at least `number_digits` digits, in any script's digits, that `consensus` of the other languages and
    the reference have. Cannot see a number or a month written in words.
    """
    expected = _numbers(languages)
    if not expected or len(languages.profiles) < 3:
        return
    names, present = languages.names(), languages.present()
    pairs, counts = np.unique(np.concatenate(list(expected.values())), return_counts=True)
    reference = expected.get(languages.reference)
    items = (pairs >> np.uint64(32)).astype(np.int64)
    having = present.sum(axis=0)[items]
    for number, code in enumerate(languages.profiles):
        own = np.isin(pairs, expected[code], assume_unique=True)
        lost = ~own & present[number, items] & (counts >= languages.config.consensus * np.maximum(having - 1, 1) - 1e-9)
        if reference is not None:
            lost &= np.isin(pairs, reference, assume_unique=True)
        rows = np.unique(items[lost])
        if len(rows):
            yield languages.finding(
                "lost-number", "note", code, f"{counted(len(rows), 'lack')} a number that the other languages keep",
                [names[i] for i in rows], certainty="possible", mend="compare the rows with the reference",
            )  # fmt: skip


def _numbers(languages: Languages) -> dict[str, NDArray[np.uint64]]:
    """(item, number) pairs of each language, numbers of too few digits left out."""
    found = {}
    for code, kept in languages.profiles.items():
        long = kept.is_number & ((kept.anchors & np.uint32(0xF)) >= languages.config.number_digits)
        items = kept.items[kept.anchor_rows[long]].astype(np.uint64)
        found[code] = np.unique(items << np.uint64(32) | kept.anchors[long].astype(np.uint64))
    return found


def encoding_damage(sheet: Sheet) -> Iterator[Finding]:
    """UTF-8 that was read as another encoding (mojibake), replacement and control characters, rows of question marks.

    Mojibake is certain where it reads as UTF-8 again; what became � or ??? cannot be brought back. What the reference
    has too in the same item is the source's fault, and reported there. Cannot see characters that were dropped, nor
    one wrong letter that somebody may have meant.
    """
    damaged = _apart(sheet, lambda text: unscramble(text) != text)
    if damaged:
        yield sheet.finding(
            "mojibake", "warning", f"{counted(len(damaged), 'hold')} UTF-8 read as another encoding", damaged,
            mend="`--fix` reads them again",
        )  # fmt: skip
    lost = _apart(sheet, lambda text: CONTROL.search(text) is not None)
    if lost:
        yield sheet.finding(
            "lost-characters", "warning", f"{counted(len(lost), 'hold')} replacement or control characters", lost,
            mend="take the text from its source again",
        )  # fmt: skip


def unscramble(text: str) -> str:
    """The text with UTF-8 that was read as Windows-1252 or Latin-1 read rightly; twice, if it was done twice.

    Nothing is changed unless one place in the text cannot be meant as it stands.
    """
    for _ in range(2):
        if not any(map(_never_meant, MOJIBAKE.finditer(text))):
            break
        text = MOJIBAKE.sub(lambda match: _decode(match[0]) or match[0], text)
    return text


def _never_meant(match: re.Match[str]) -> bool:
    """Whether a run of such characters can only be damage: several letters of it, or one that nobody writes."""
    decoded, lead, rest = _decode(match[0]), match[0][0], match[0][1:]
    if decoded is None:
        return False
    if len(decoded) > 1 or lead in LEADS:
        return True
    if lead in NEAR_LEADS:
        return not any(char.isalpha() or char in FOLLOWERS for char in rest)
    return decoded in MARKS


def _decode(run: str) -> str | None:
    """The characters that the run's bytes are in UTF-8, or None when they are none."""
    raw = b"".join(char.encode("latin-1" if ord(char) < 0x100 else "cp1252") for char in run)
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return None


def markup(sheet: Sheet) -> Iterator[Finding]:
    """HTML entities, escapes that were escaped twice, and tags that do not close.

    Passes over what the reference has in the same item: then it is the source's, and reported there as a note. Cannot
    see tags that close in the wrong order.
    """
    severity = "warning" if sheet.reference else "note"
    escaped = _apart(sheet, lambda text: unescape(text) != text)
    if escaped:
        yield sheet.finding(
            "escaped-text", severity, f"{counted(len(escaped), 'hold')} HTML entities or double escapes", escaped,
            mend="`--fix` unescapes them",
        )  # fmt: skip
    broken = _apart(sheet, _unbalanced)
    if broken:
        yield sheet.finding(
            "broken-markup", severity, f"{counted(len(broken), 'have')} tags that do not close", broken,
            mend="mend or drop the tags",
        )  # fmt: skip


def unescape(text: str) -> str:
    """The text without HTML entities and without escapes that JSON should have taken away."""
    if ENTITY.search(text):
        text = html.unescape(text)
    return ESCAPE.sub(_unescape_one, text)


def _unescape_one(match: re.Match[str]) -> str:
    body = match[0][1:]
    if body[0] in "ux" and len(body) > 1:
        char = chr(int(body[1:], 16))
        return match[0] if 0xD800 <= ord(char) <= 0xDFFF else char
    return {"n": "\n", "r": "\r", "t": "\t"}.get(body, body)


def _unbalanced(text: str) -> bool:
    counts: dict[str, int] = {}
    for match in TAG.finditer(text):
        if not match[0].endswith("/>") and match[1].lower() not in ("br", "hr", "img", "p", "li"):
            counts[match[1].lower()] = counts.get(match[1].lower(), 0) + (-1 if match[0].startswith("</") else 1)
    return any(counts.values())


def _apart(sheet: Sheet, fault: Callable[[str], bool]) -> list[str]:
    """Ids of rows with the fault in a field where the reference's row has it not."""
    found = []
    for row in sheet.rows:
        twin = sheet.reference.get(row.id)
        if any(fault(text) and not (twin and fault(twin.fields[name])) for name, text in row.fields.items()):
            found.append(row.id)
    return found


def mend_text(example: Example) -> Example:
    """The item with mojibake read again and escapes taken away: mends that are certain."""
    fields = {name: unescape(unscramble(text)) for name, text in example.fields.items()}
    return Example(example.id, example.language, fields, example.label)
