"""What the checks look at: one language's rows with the reference's beside them, and what is kept of all languages.

Texts of one language and of the reference are in memory at a time. Of every language a `Profile` stays: numbers, no
text, so that 20 languages of 100,000 items fit into a laptop.
"""

from __future__ import annotations

import hashlib
import math
import re
import textwrap
import unicodedata
import zlib
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from spillover.core.config import AuditConfig
from spillover.core.types import Example, Finding, Task
from spillover.tasks.overlap import text_key

# A group of three digits after a blank, a point or a comma is the rest of one number.
NUMBER = re.compile(r"\d+(?:[.,'’\u00a0\u202f ]\d{3}(?!\d)|[.,]\d+)*")
NAME = re.compile(r"\b[A-Z][A-Za-z0-9]{2,}")
WIDE = re.compile("[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\uff00-\uff60]")
SEPARATOR = re.compile(r"\D")
MARKS = ("?？؟", "!！", ",，、،", ".。।")
OPEN = ",;:、،，-–—("
FEW, LONGEST = 5, 60  # words shown in a message, and characters of each
LINES = 4 + 1  # features per field: log length and the four marks


@dataclass(frozen=True)
class Sheet:
    """One language's rows of one split. `reference`: the reference language's rows by id, empty for itself."""

    task: Task
    language: str
    rows: Sequence[Example]
    reference: Mapping[str, Example]
    config: AuditConfig
    split: str = "test"

    def finding(self, check: str, severity: str, message: str, ids: Sequence[str], **rest: object) -> Finding:
        """A finding in this language; `rest` are Finding's other fields."""
        return Finding(
            check, severity, self.task.name, self.language, message, tuple(ids), split=self.split, **rest  # type: ignore[arg-type]
        )  # fmt: skip

    @cached_property
    def hashes(self) -> NDArray[np.uint64]:
        """[n] hash of each row's normalised fields: rows with one hash are one text."""
        return np.fromiter(map(item_hash, self.rows), dtype=np.uint64, count=len(self.rows))

    def pairs(self) -> Iterator[tuple[Example, Example]]:
        """(row, the reference's row of the same id) wherever both are."""
        for row in self.rows:
            if row.id in self.reference:
                yield row, self.reference[row.id]


@dataclass(frozen=True)
class Profile:
    """What is kept of one language, a row for each of its items in file order.

    items: [n] number of the item's id. labels: [n] number of the label word, -1 for none. shape: [n, fields, LINES]
    log length and counts of punctuation. ends: [n, fields] a mark stands at the end. letters: [n, fields]. same: [n,
    fields] equal to the reference's text.
    anchors, anchor_rows: hashes of numbers and names, and the row each stands in; is_number says which are numbers.
    keys: [n] hash of the normalised item.
    """

    language: str
    items: NDArray[np.int32]
    labels: NDArray[np.int32]
    shape: NDArray[np.float32]
    ends: NDArray[np.bool_]
    letters: NDArray[np.int32]
    same: NDArray[np.bool_]
    anchors: NDArray[np.uint32]
    anchor_rows: NDArray[np.int32]
    is_number: NDArray[np.bool_]
    keys: NDArray[np.uint64]


@dataclass
class Languages:
    """All languages of one task side by side. `ids` and `words` number item ids and label words: the task's labels
    first, then whatever else the data says. `sizes`: rows of each (split, language)."""

    task: Task
    config: AuditConfig
    reference: str
    ids: dict[str, int] = field(default_factory=dict)
    words: dict[str, int] = field(default_factory=dict)
    profiles: dict[str, Profile] = field(default_factory=dict)
    sizes: dict[tuple[str, str], int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.words |= {label: i for i, label in enumerate(self.task.labels)}

    def add(self, sheet: Sheet) -> None:
        """Keep what the checks across languages need of a sheet."""
        self.profiles[sheet.language] = profile(sheet, self.ids, self.words)

    def names(self) -> list[str]:
        """Item ids by number."""
        return list(self.ids)

    def labels(self) -> NDArray[np.int32]:
        """[languages, items] label word of each item, -1 where there is none. The first row of an id counts."""
        return np.stack([self._spread(found, found.labels, -1) for found in self.profiles.values()])

    def present(self) -> NDArray[np.bool_]:
        """[languages, items] whether the language has the item."""
        ones = (np.ones(len(found.items), dtype=np.bool_) for found in self.profiles.values())
        return np.stack([self._spread(*pair, False) for pair in zip(self.profiles.values(), ones, strict=True)])

    def shapes(self) -> NDArray[np.float32]:
        """[languages, items, fields, LINES] lengths and punctuation, NaN where the language lacks the item."""
        return np.stack([self._spread(found, found.shape, np.nan) for found in self.profiles.values()])

    def ends(self) -> NDArray[np.bool_]:
        """[languages, items, fields] whether a mark stands at the text's end."""
        return np.stack([self._spread(found, found.ends, False) for found in self.profiles.values()])

    def same(self) -> NDArray[np.bool_]:
        """[languages, items, fields] whether the text is the reference's."""
        return np.stack([self._spread(found, found.same, False) for found in self.profiles.values()])

    def letters(self) -> NDArray[np.int32]:
        """[languages, items, fields] number of letters."""
        return np.stack([self._spread(found, found.letters, 0) for found in self.profiles.values()])

    def _spread(self, found: Profile, values: NDArray[np.generic], empty: object) -> NDArray[np.generic]:
        spread = np.full((len(self.ids), *values.shape[1:]), empty, dtype=values.dtype)
        spread[found.items[::-1]] = values[::-1]
        return spread

    def finding(
        self, check: str, severity: str, language: str, message: str, ids: Sequence[str], **rest: object
    ) -> Finding:
        """A finding of a check across languages; `rest` are Finding's other fields."""
        return Finding(check, severity, self.task.name, language, message, tuple(ids), **rest)  # type: ignore[arg-type]


IRREGULAR = dict(forms.split() for forms in ("have has", "are is"))


def counted(n: int, verb: str, noun: str = "item") -> str:
    """How a message begins: "1 item has", "3 items have"."""
    if n == 1:
        return f"1 {noun} {IRREGULAR.get(verb, f'{verb}s')}"
    return f"{n} {noun}s {verb}"


def told(words: Iterable[str]) -> str:
    """The first few words, cut where they are long."""
    words = list(words)
    shown = ", ".join(textwrap.shorten(word, LONGEST, placeholder=" ...") for word in words[:FEW])
    return shown + (f" and {len(words) - FEW} more" if len(words) > FEW else "")


def profile(sheet: Sheet, ids: dict[str, int], words: dict[str, int]) -> Profile:
    """The profile of a sheet; new ids and label words are numbered."""
    n, fields = len(sheet.rows), len(sheet.task.fields)
    shape = np.zeros((n, fields, LINES), dtype=np.float32)
    ends = np.zeros((n, fields), dtype=np.bool_)
    letters = np.zeros((n, fields), dtype=np.int32)
    same = np.zeros((n, fields), dtype=np.bool_)
    items, labels = np.zeros(n, dtype=np.int32), np.zeros(n, dtype=np.int32)
    # Arrays, not lists: a million rows have some million of them.
    anchors, owners, numbers = array("I"), array("i"), array("b")
    for i, row in enumerate(sheet.rows):
        items[i] = ids.setdefault(row.id, len(ids))
        labels[i] = -1 if row.label is None else words.setdefault(row.label, len(words))
        texts = list(row.fields.values())
        twin = sheet.reference.get(row.id)
        for j, text in enumerate(texts):
            shape[i, j] = text_shape(text)
            ends[i, j] = ends_well(text)
            letters[i, j] = sum(map(str.isalpha, text))
        if twin is not None:
            same[i] = [one == other for one, other in zip(text_key(row), text_key(twin), strict=True)]
        whole = "\n".join(texts)
        for kind, found in ((True, numbers_in(whole)), (False, names_in(whole))):
            anchors.extend(found)
            owners.extend([i] * len(found))
            numbers.extend([kind] * len(found))
    return Profile(
        sheet.language, items, labels, shape, ends, letters, same,
        np.array(anchors, dtype=np.uint32), np.array(owners, dtype=np.int32), np.array(numbers, dtype=np.bool_),
        sheet.hashes,
    )  # fmt: skip


def text_shape(text: str) -> list[float]:
    """[LINES] natural log of 1 + the length in letters, and how often each kind of mark stands in it."""
    return [math.log1p(letters_long(text)), *(float(sum(map(text.count, marks))) for marks in MARKS)]


def letters_long(text: str) -> int:
    """Length in characters, each that stands for a syllable or a word as three: names in Latin letters among Chinese
    would make a text long that says no more."""
    return len(text) if text.isascii() else len(text) + 2 * len(WIDE.findall(text))


def ends_well(text: str) -> bool:
    """Whether the last character may end a text: no letter, no digit, and no mark after which something must come."""
    # Not "is punctuation": some Bengali ends with a look-alike of the danda that Unicode counts among the numbers.
    last = text.rstrip()[-1:]
    return bool(last) and last not in OPEN and not unicodedata.category(last).startswith(("L", "M", "Nd"))


def numbers_in(text: str) -> set[int]:
    """Hashes of the numbers in a text, whatever their digits' script and separators."""
    return {number_hash(digits) for digits in digit_strings(text)}


def digit_strings(text: str) -> set[str]:
    """The numbers in a text as ASCII digits without separators."""
    found = set()
    for match in NUMBER.findall(text):
        digits = SEPARATOR.sub("", match)
        found.add(digits if digits.isascii() else "".join(str(unicodedata.decimal(char)) for char in digits))
    return found


def number_hash(digits: str) -> int:
    """A number's hash; its last bits say how many digits it has, up to 15."""
    return (zlib.crc32(digits.encode()) & ~0xF) | min(len(digits), 15)


def names_in(text: str) -> set[int]:
    """Hashes of capitalised words in ASCII letters, which many translations keep."""
    return {zlib.crc32(name.encode()) for name in NAME.findall(text)}


def item_hash(example: Example) -> int:
    """64 bits of an item's normalised fields."""
    return int.from_bytes(hashlib.blake2b("\x1f".join(text_key(example)).encode(), digest_size=8).digest(), "little")
