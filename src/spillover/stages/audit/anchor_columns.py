"""The numbers and names of a language in columns: arrays, not lists, since a million rows have some million of them."""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

LEAST_TILT = 0.1  # a name at nearly the same place of both fields says nothing
NAME_STEM = 3  # letters of a name that stay when it is inflected


class AnchorColumns:
    """Numbers and names as three columns."""

    def __init__(self) -> None:
        """Nothing yet."""
        self.hashes, self.rows, self.is_number = array("I"), array("i"), array("b")

    def add(self, row: int, numbers: set[int], names: set[int]) -> None:
        """Those of one row, numbers first."""
        for is_number, hashes in ((True, numbers), (False, names)):
            self.hashes.extend(hashes)
            self.rows.extend([row] * len(hashes))
            self.is_number.extend([is_number] * len(hashes))

    def arrays(self) -> tuple[NDArray[np.uint32], NDArray[np.int32], NDArray[np.bool_]]:
        """(hashes, rows, whether each is a number), each [number of all]."""
        return (
            np.array(self.hashes, dtype=np.uint32),
            np.array(self.rows, dtype=np.int32),
            np.array(self.is_number, dtype=np.bool_),
        )


class TiltColumns:
    """Where numbers and names stand in two fields, as three columns."""

    def __init__(self) -> None:
        """Nothing yet."""
        self.names, self.rows, self.tilts = array("I"), array("i"), array("b")

    def add(
        self, row: int, texts: Sequence[str], numbers: Sequence[Mapping[int, int]], names: Sequence[Mapping[str, int]]
    ) -> None:
        """Those of one row that do not stand at the same place of both."""
        first, second = map(_relative_places, texts, numbers, names)
        for name in first.keys() | second.keys():
            tilt = first[name] - second[name] if name in first and name in second else 1 if name in first else -1
            if abs(tilt) >= LEAST_TILT:
                self.names.append(name)
                self.rows.append(row)
                self.tilts.append(round(100 * tilt))

    def arrays(self) -> tuple[NDArray[np.uint32], NDArray[np.int32], NDArray[np.int8]]:
        """(names, rows, tilts in hundredths), each [number of all]."""
        return (
            np.array(self.names, dtype=np.uint32),
            np.array(self.rows, dtype=np.int32),
            np.array(self.tilts, dtype=np.int8),
        )


def _relative_places(text: str, numbers: Mapping[int, int], names: Mapping[str, int]) -> dict[int, float]:
    """Numbers and stems of names → where they first stand, 0 to 1."""
    places = {number: start / len(text) for number, start in numbers.items()}
    for name, start in names.items():
        places.setdefault(_stem(name), start / len(text))
    return places


def _stem(name: str) -> int:
    """The first letters of a name as a number: "Grant" and its Slovenian genitive "Granta" are one name."""
    return int.from_bytes(name[:NAME_STEM].encode(), "big")
