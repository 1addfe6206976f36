"""Numbers that describe one text in any language: length, punctuation, the numbers and names in it."""

from __future__ import annotations

import math
import re
import unicodedata
import zlib

# A group of three digits after a space, a point or a comma is the rest of one number.
NUMBER = re.compile(r"\d+(?:[.,'’\u00a0\u202f ]\d{3}(?!\d)|[.,]\d+)*")
NAME = re.compile(r"\b[A-Z][A-Za-z0-9]{2,}")
WIDE = re.compile("[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\uff00-\uff60]")
SEPARATOR = re.compile(r"\D")
TAG = re.compile(r"</?([a-zA-Z][a-zA-Z0-9]*)(?:\s[^<>]*)?/?>")
MARKS = ("?？؟", "!！", ",，、،", ".。।")
OPEN = ",;:、،，-–—("
SHAPE_FEATURES = 1 + len(MARKS)  # of a field: log length and how often each kind of mark stands in it


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


def number_places(text: str) -> dict[int, int]:
    """Hash of each number in a text, whatever its digits' script and separators → where it first stands."""
    places: dict[int, int] = {}
    for match in NUMBER.finditer(text):
        places.setdefault(number_hash(ascii_digits(match[0])), match.start())
    return places


def ascii_digits(number: str) -> str:
    """A number as ASCII digits without separators."""
    digits = SEPARATOR.sub("", number)
    return digits if digits.isascii() else "".join(str(unicodedata.decimal(char)) for char in digits)


def number_hash(digits: str) -> int:
    """A number's hash; its last bits say how many digits it has, up to 15."""
    return (zlib.crc32(digits.encode()) & ~0xF) | min(len(digits), 15)


def name_places(text: str) -> dict[str, int]:
    """Each capitalised word in ASCII letters, which many translations keep → where it first stands."""
    places: dict[str, int] = {}
    for match in NAME.finditer(text):
        places.setdefault(match[0], match.start())
    return places


def name_hash(name: str) -> int:
    """32 bits of a name."""
    return zlib.crc32(name.encode())


def count_tags(text: str) -> int:
    """Number of HTML tags."""
    return len(TAG.findall(text)) if "<" in text else 0
