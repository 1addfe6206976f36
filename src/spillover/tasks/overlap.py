"""Which texts of two sets are the same, exactly or nearly. `build` asks it of training questions, `audit` of all.

Near: texts that share at least a share of their character 4-grams (Jaccard). Candidates come from one sorted array of
each text's smallest 4-gram hashes (a bottom-k sketch, Broder 1997), and whoever shares several is compared exactly.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spillover.core.types import Example

GRAM = 4
# A pair of Jaccard 0.8 shares about 6 of its 8 smallest hashes, and fewer than 3 about once in 1,000.
SKETCH, SHARED = 8, 3
# A 4-gram hash that more texts have among their smallest is boilerplate and names no candidate.
CROWD = 256

Hashes = NDArray[np.uint64]


def normalise(text: str) -> str:
    """Compatibility forms folded, case folded, punctuation and symbols dropped, blanks collapsed."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    if folded.isascii():
        return " ".join(folded.translate(_ASCII).split())
    kept = "".join(" " if unicodedata.category(char)[0] in "PSZC" else char for char in folded)
    return " ".join(kept.split())


_ASCII = {i: " " for i in range(128) if unicodedata.category(chr(i))[0] in "PSZC"}


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
    """Items to look near-duplicates up in. `hashes` is sorted, `owners` are positions in `ids` and `fields`.

    fields: the 4-grams of each field of each item.
    """

    ids: Sequence[str]
    fields: Sequence[Sequence[Hashes]]
    hashes: Hashes
    owners: NDArray[np.int64]

    def near(self, question: Example, threshold: float) -> str | None:
        """The id of the most similar item of which every field is at least `threshold` similar, or None."""
        found = self._candidates(_sketch(question))
        if not found:
            return None
        fields = [grams(text) for text in text_key(question)]
        best = max((_similarity(fields, self.fields[i]), self.ids[i]) for i in found)
        return best[1] if best[0] >= threshold else None

    def _candidates(self, sketch: Hashes) -> list[int]:
        starts = np.searchsorted(self.hashes, sketch, side="left").tolist()
        ends = np.searchsorted(self.hashes, sketch, side="right").tolist()
        found: Counter[int] = Counter()
        for start, end in zip(starts, ends, strict=True):
            if end - start <= CROWD:
                found.update(self.owners[start:end].tolist())
        return [owner for owner, shared in found.items() if shared >= min(SHARED, len(sketch))]


def near_index(items: Sequence[Example]) -> NearIndex:
    """An index of items for `NearIndex.near`; about ten bytes for each character of theirs."""
    sketches = [_sketch(item) for item in items]
    owners = np.repeat(np.arange(len(items)), [len(sketch) for sketch in sketches])
    hashes = np.concatenate(sketches) if sketches else np.empty(0, dtype=np.uint64)
    order = np.argsort(hashes, kind="stable")
    fields = [[grams(text) for text in text_key(item)] for item in items]
    return NearIndex([item.id for item in items], fields, hashes[order], owners[order])


def _sketch(example: Example) -> Hashes:
    # Fields in sorted order: a pair with its sides exchanged is the same pair.
    return grams("  ".join(sorted(text_key(example))))[:SKETCH]


def _similarity(fields: Sequence[Hashes], others: Sequence[Hashes]) -> float:
    """The least similar field's Jaccard, with the sides as they are or, for two fields, exchanged."""
    straight = min(map(jaccard, fields, others))
    return max(straight, min(map(jaccard, fields, others[::-1]))) if len(fields) == 2 else straight
