"""What is kept of each language's own answers for the checks across languages: lengths, numbers, names, no text."""

from __future__ import annotations

import re
import zlib
from array import array
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spillover.core.types import Example
from spillover.stages.audit.text_features import ascii_digits, name_hash, name_places, number_places

DIGITS = re.compile(r"\d+")


@dataclass(frozen=True)
class ChoiceColumns:
    """The answers of one language's items, a row for each item in file order; `slots` is the most of any item.

    counts: [n] number of answers. characters, utf8: [n, slots] length of each, 0 where there is none. clusters: [n]
    number of the cluster, -1 for none. digits: [n, slots] hash of all digits of an answer, 0 for none.
    anchors, anchor_rows, anchor_slots, is_number: hashes of numbers and names, and the row and place each stands in.
    """

    counts: NDArray[np.int32]
    characters: NDArray[np.int32]
    utf8: NDArray[np.int32]
    clusters: NDArray[np.int32]
    digits: NDArray[np.uint32]
    anchors: NDArray[np.uint32]
    anchor_rows: NDArray[np.int32]
    anchor_slots: NDArray[np.int32]
    is_number: NDArray[np.bool_]


def choice_columns(rows: Sequence[Example], slots: int, clusters: dict[str, int]) -> ChoiceColumns:
    """The columns of one language; new clusters are numbered. Answers beyond the last slot are counted, not kept."""
    n = len(rows)
    characters, utf8 = np.zeros((n, slots), dtype=np.int32), np.zeros((n, slots), dtype=np.int32)
    digits = np.zeros((n, slots), dtype=np.uint32)
    columns = array("I"), array("i"), array("i"), array("b")
    for i, row in enumerate(rows):
        for slot, text in enumerate(row.choices[:slots]):
            characters[i, slot], utf8[i, slot] = len(text), len(text.encode())
            digits[i, slot] = _digits_hash(text)
            anchors = [(number, True) for number in number_places(text)]
            anchors += [(name_hash(name), False) for name in name_places(text)]
            for anchor, is_number in anchors:
                for column, value in zip(columns, (anchor, i, slot, is_number), strict=True):
                    column.append(value)
    return ChoiceColumns(
        np.array([len(row.choices) for row in rows], dtype=np.int32),
        characters,
        utf8,
        np.array(
            [-1 if row.cluster is None else clusters.setdefault(row.cluster, len(clusters)) for row in rows],
            dtype=np.int32,
        ),
        digits,
        np.array(columns[0], dtype=np.uint32),
        np.array(columns[1], dtype=np.int32),
        np.array(columns[2], dtype=np.int32),
        np.array(columns[3], dtype=np.bool_),
    )


def _digits_hash(text: str) -> int:
    """A hash of all digits of a text in a row, so that 10:30 is 10.30; 0 without digits."""
    runs = "".join(map(ascii_digits, DIGITS.findall(text)))
    return zlib.crc32(runs.encode()) | 1 if runs else 0
