"""What is kept of each language for the checks across languages: numbers, no text.

Texts of one language and of the reference are in memory at a time. Of every language a `Profile` stays, so that 20
languages of 100,000 items fit into a laptop.
"""

from __future__ import annotations

import math
import re
import unicodedata
import zlib
from array import array
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from spillover.core.config import AuditThresholds
from spillover.core.types import Task
from spillover.stages.audit.inputs import LanguageRows
from spillover.tasks.overlap import text_key

# A group of three digits after a space, a point or a comma is the rest of one number.
NUMBER = re.compile(r"\d+(?:[.,'’\u00a0\u202f ]\d{3}(?!\d)|[.,]\d+)*")
NAME = re.compile(r"\b[A-Z][A-Za-z0-9]{2,}")
WIDE = re.compile("[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\uff00-\uff60]")
SEPARATOR = re.compile(r"\D")
MARKS = ("?？؟", "!！", ",，、،", ".。।")
OPEN = ",;:、،，-–—("
SHAPE_FEATURES = 1 + len(MARKS)  # of a field: log length and how often each kind of mark stands in it

Value = TypeVar("Value", bound=np.generic)


@dataclass(frozen=True)
class Profile:
    """What is kept of one language, a row for each of its items in file order.

    items: [n] number of the item's id. labels: [n] number of the label word, -1 for none. shape: [n, fields,
    SHAPE_FEATURES] log length and counts of punctuation. ends: [n, fields] the text has final punctuation. letters: [n,
    fields]. same: [n, fields] equal to the reference's text.
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


@dataclass(eq=False)
class LanguageProfiles:
    """The profiles of all languages of one task. `ids` and `words` number item ids and label words: the task's labels
    first, then whatever else the data has. `sizes`: rows of each (split, language)."""

    task: Task
    thresholds: AuditThresholds
    reference: str
    ids: dict[str, int] = field(default_factory=dict)
    words: dict[str, int] = field(default_factory=dict)
    profiles: dict[str, Profile] = field(default_factory=dict)
    sizes: dict[tuple[str, str], int] = field(default_factory=dict)
    cache: dict[Hashable, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Number the task's labels first."""
        self.words |= {label: i for i, label in enumerate(self.task.labels)}

    def add(self, rows: LanguageRows) -> None:
        """Keep what the checks across languages need of one language."""
        self.profiles[rows.language] = profile(rows, self.ids, self.words)

    @property
    def codes(self) -> list[str]:
        """The languages, in the order of the first axis of all arrays."""
        return list(self.profiles)

    def believed(self, code: str) -> bool:
        """Whether a language is the reference of two: then the other one is wrong wherever they differ."""
        return len(self.profiles) == 2 and code == self.reference

    def item_ids(self) -> list[str]:
        """Item ids by number."""
        return list(self.ids)

    def labels(self) -> NDArray[np.int32]:
        """[languages, items] label word of each item, -1 where there is none. The first row of an id counts."""
        return self._by_item(lambda profile: profile.labels, -1)

    def present(self) -> NDArray[np.bool_]:
        """[languages, items] whether the language has the item."""
        return self._by_item(lambda profile: np.ones(len(profile.items), dtype=np.bool_), False)

    def shapes(self) -> NDArray[np.float32]:
        """[languages, items, fields, SHAPE_FEATURES] lengths and punctuation, NaN where the language lacks the item."""
        return self._by_item(lambda profile: profile.shape, np.nan)

    def ends(self) -> NDArray[np.bool_]:
        """[languages, items, fields] whether the text has final punctuation."""
        return self._by_item(lambda profile: profile.ends, False)

    def same(self) -> NDArray[np.bool_]:
        """[languages, items, fields] whether the text is the reference's."""
        return self._by_item(lambda profile: profile.same, False)

    def letters(self) -> NDArray[np.int32]:
        """[languages, items, fields] number of letters."""
        return self._by_item(lambda profile: profile.letters, 0)

    def _by_item(self, values: Callable[[Profile], NDArray[Value]], empty: object) -> NDArray[Value]:
        """[languages, items, ...] of values that the profiles hold row by row."""
        return np.stack([self._of_language(kept.items, values(kept), empty) for kept in self.profiles.values()])

    def _of_language(self, items: NDArray[np.int32], values: NDArray[Value], empty: object) -> NDArray[Value]:
        by_item = np.full((len(self.ids), *values.shape[1:]), empty, dtype=values.dtype)
        by_item[items[::-1]] = values[::-1]
        return by_item


def profile(rows: LanguageRows, ids: dict[str, int], words: dict[str, int]) -> Profile:
    """The profile of one language; new ids and label words are numbered."""
    n, fields = len(rows.rows), len(rows.task.fields)
    shape = np.zeros((n, fields, SHAPE_FEATURES), dtype=np.float32)
    ends = np.zeros((n, fields), dtype=np.bool_)
    letters = np.zeros((n, fields), dtype=np.int32)
    same = np.zeros((n, fields), dtype=np.bool_)
    items, labels = np.zeros(n, dtype=np.int32), np.zeros(n, dtype=np.int32)
    # Arrays, not lists: a million rows have some million of them.
    anchors, anchor_rows, number_flags = array("I"), array("i"), array("b")
    for i, row in enumerate(rows.rows):
        items[i] = ids.setdefault(row.id, len(ids))
        labels[i] = -1 if row.label is None else words.setdefault(row.label, len(words))
        texts = list(row.fields.values())
        counterpart = rows.reference.get(row.id)
        for j, text in enumerate(texts):
            shape[i, j] = text_shape(text)
            ends[i, j] = has_final_punctuation(text)
            letters[i, j] = sum(map(str.isalpha, text))
        if counterpart is not None:
            same[i] = [ours == theirs for ours, theirs in zip(text_key(row), text_key(counterpart), strict=True)]
        whole = "\n".join(texts)
        for is_number, hashes in ((True, numbers_in(whole)), (False, names_in(whole))):
            anchors.extend(hashes)
            anchor_rows.extend([i] * len(hashes))
            number_flags.extend([is_number] * len(hashes))
    return Profile(
        rows.language, items, labels, shape, ends, letters, same,
        np.array(anchors, dtype=np.uint32), np.array(anchor_rows, dtype=np.int32),
        np.array(number_flags, dtype=np.bool_),
        rows.hashes,
    )  # fmt: skip


def text_shape(text: str) -> list[float]:
    """[SHAPE_FEATURES] natural log of 1 + the length in letters, and counts of each kind of punctuation."""
    return [math.log1p(weighted_length(text)), *(float(sum(map(text.count, marks))) for marks in MARKS)]


def weighted_length(text: str) -> int:
    """Length in characters, each that stands for a syllable or a word as three: names in Latin letters among Chinese
    would make a text long that says no more."""
    return len(text) if text.isascii() else len(text) + 2 * len(WIDE.findall(text))


def has_final_punctuation(text: str) -> bool:
    """Whether the last character may end a text: no letter, no digit, and no mark after which something must come."""
    # Not "is punctuation": some Bengali ends with a look-alike of the danda that Unicode counts among the numbers.
    last = text.rstrip()[-1:]
    return bool(last) and last not in OPEN and not unicodedata.category(last).startswith(("L", "M", "Nd"))


def numbers_in(text: str) -> set[int]:
    """Hashes of the numbers in a text, whatever their digits' script and separators."""
    return {number_hash(digits) for digits in digit_strings(text)}


def digit_strings(text: str) -> set[str]:
    """The numbers in a text as ASCII digits without separators."""
    numbers = set()
    for match in NUMBER.findall(text):
        digits = SEPARATOR.sub("", match)
        numbers.add(digits if digits.isascii() else "".join(str(unicodedata.decimal(char)) for char in digits))
    return numbers


def number_hash(digits: str) -> int:
    """A number's hash; its last bits say how many digits it has, up to 15."""
    return (zlib.crc32(digits.encode()) & ~0xF) | min(len(digits), 15)


def names_in(text: str) -> set[int]:
    """Hashes of capitalised words in ASCII letters, which many translations keep."""
    return {zlib.crc32(name.encode()) for name in NAME.findall(text)}
