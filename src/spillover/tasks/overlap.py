"""Which texts of two sets are the same, exactly or nearly. `build` asks it of training questions, `audit` of all.

Near: texts that share at least a share of their character 4-grams (Jaccard). Candidates come from one sorted array of
each text's smallest 4-gram hashes (a bottom-k sketch, Broder 1997), and whoever shares several is compared exactly.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spillover.core.types import Example

GRAM = 4
# A pair of Jaccard 0.8 shares about 6 of its 8 smallest hashes, and fewer than 3 about once in 1,000.
SKETCH, SHARED = 8, 3
# A 4-gram hash that more texts have among their smallest is boilerplate and names no candidate.
CROWD = 256
# Questions that are looked up at a time: it bounds the memory of their candidates, some ten megabytes.
BLOCK = 1024

Hashes = NDArray[np.uint64]


class _Separators(dict[int, str]):
    """A table for `str.translate`, filled on demand: all but letters, digits and combining marks become a space."""

    def __missing__(self, code: int) -> str:
        char = chr(code)
        self[code] = " " if unicodedata.category(char)[0] in "PSZC" else char
        return self[code]


_SEPARATORS = _Separators()


def normalise(text: str) -> str:
    """Compatibility forms folded, case folded, punctuation and symbols dropped, whitespace collapsed."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().translate(_SEPARATORS).split())


def overlapping(questions: Iterable[Example], items: Iterable[Example]) -> list[tuple[str, str]]:
    """(question id, item id) for each question all of whose fields equal an item's after normalisation."""
    known: dict[tuple[str, ...], str] = {}
    for item in items:
        known.setdefault(text_key(item), item.id)
    return [(question.id, known[key]) for question in questions if (key := text_key(question)) in known]


def text_key(example: Example) -> tuple[str, ...]:
    """What two items share when they are the same item: each field, normalised."""
    return tuple(normalise(text) for text in example.fields.values())


def grams(text: str) -> Hashes:
    """Hashes of the different character 4-grams of a normalised text, sorted; of the whole text where it is shorter."""
    codes = np.frombuffer(text.encode("utf-32-le"), dtype=np.uint32).astype(np.uint64)
    if len(codes) == 0:
        return codes
    length = min(GRAM, len(codes))
    mixed = np.zeros(len(codes) - length + 1, dtype=np.uint64)
    for i in range(length):
        mixed = mixed * np.uint64(0x100000001B3) + codes[i : len(codes) - length + 1 + i]
    mixed ^= mixed >> np.uint64(29)
    mixed *= np.uint64(0xBF58476D1CE4E5B9)
    mixed ^= mixed >> np.uint64(32)
    return np.unique(mixed)


def jaccard(first: Hashes, second: Hashes) -> float:
    """Share of common 4-grams, 0 to 1; two empty texts are the same."""
    if len(first) == 0 and len(second) == 0:
        return 1.0
    shared = len(np.intersect1d(first, second, assume_unique=True))
    return shared / (len(first) + len(second) - shared)


@dataclass(frozen=True)
class NearIndex:
    """Items to look near-duplicates up in. `hashes` is sorted, `owners` are positions in `items`."""

    items: Sequence[Example]
    hashes: Hashes
    owners: NDArray[np.int64]

    def near(self, questions: Sequence[Example], threshold: float) -> dict[str, str]:
        """Question id → id of the most similar item, for questions that have one of which every field is at least
        `threshold` similar."""
        found: dict[str, str] = {}
        if not self.items:
            return found
        for start in range(0, len(questions), BLOCK):
            block = questions[start : start + BLOCK]
            compared: dict[int, list[Hashes]] = {}
            keys = [text_key(question) for question in block]
            for number, owners in self._candidates([_sketch(key) for key in keys]):
                fields = [grams(text) for text in keys[number]]
                for i in owners:
                    if i not in compared:
                        compared[i] = [grams(text) for text in text_key(self.items[i])]
                best = max((_similarity(fields, compared[i], threshold), self.items[i].id) for i in owners)
                if best[0] >= threshold:
                    found[block[number].id] = best[1]
        return found

    def _candidates(self, sketches: Sequence[Hashes]) -> Iterator[tuple[int, list[int]]]:
        """(number of the sketch, the items that share enough of it), for those that have any."""
        sizes = np.array([len(sketch) for sketch in sketches])
        together = np.concatenate(sketches)
        starts = np.searchsorted(self.hashes, together, side="left")
        counts = np.searchsorted(self.hashes, together, side="right") - starts
        counts[counts > CROWD] = 0
        asking = np.repeat(np.repeat(np.arange(len(sketches)), sizes), counts)
        places = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts - starts, counts)
        pairs, shared = np.unique(asking * len(self.items) + self.owners[places], return_counts=True)
        numbers, owners = np.divmod(pairs, len(self.items))
        enough = shared >= np.minimum(SHARED, sizes[numbers])
        numbers, owners = numbers[enough], owners[enough]
        for part in np.split(np.arange(len(numbers)), np.flatnonzero(np.diff(numbers)) + 1):
            if len(part):
                yield int(numbers[part[0]]), owners[part].tolist()


def near_index(items: Sequence[Example]) -> NearIndex:
    """An index of items for `NearIndex.near`; it keeps eight hashes of each."""
    sketches = np.zeros((len(items), SKETCH), dtype=np.uint64)
    sizes = np.zeros(len(items), dtype=np.int64)
    for i, item in enumerate(items):
        sketch = _sketch(text_key(item))
        sizes[i] = len(sketch)
        sketches[i, : len(sketch)] = sketch
    filled = np.arange(SKETCH) < sizes[:, None]
    hashes, owners = sketches[filled], np.repeat(np.arange(len(items)), sizes)
    order = np.argsort(hashes, kind="stable")
    return NearIndex(items, hashes[order], owners[order])


def _sketch(key: Sequence[str]) -> Hashes:
    # Fields in sorted order: a pair with its sides exchanged is the same pair.
    return grams("  ".join(sorted(key)))[:SKETCH]


def _similarity(fields: Sequence[Hashes], others: Sequence[Hashes], threshold: float) -> float:
    """The least similar field's Jaccard, with the sides as they are or, for two fields, exchanged; 0 where the lengths
    alone say that it is below the threshold."""
    straight = _least(fields, others, threshold)
    return max(straight, _least(fields, others[::-1], threshold)) if len(fields) == 2 else straight


def _least(fields: Sequence[Hashes], others: Sequence[Hashes], threshold: float) -> float:
    sizes = [(len(one), len(other)) for one, other in zip(fields, others, strict=True)]
    if any(min(pair) < threshold * max(pair) for pair in sizes):
        return 0.0
    return min(map(jaccard, fields, others))
