"""Character runs that recur in many texts. Characters, not words: they are the same in scripts that write no spaces."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spillover.stages.audit.text_features import WIDE, weighted_length

LEAST_TEXTS = 3  # that a run must stand in to recur
RUN, WIDE_RUN = 6, 3  # characters of a run; the second where most are syllables or words
WIDE_SHARE = 0.3
ALIKE = 0.8  # ratio of the frequencies of two runs one after the other that belong to one phrase
LIFT = 2.0  # how much more often texts share a run than other texts have it
LONGEST_STRETCH = 200
MULTIPLIER = np.uint64(0x100000001B3)


@dataclass(frozen=True, eq=False)
class Runs:
    """Character runs of one length. texts: numbers of the texts that have each. starts: where it starts in the first.
    stretches: from there on, how many runs one after the other about as many texts have."""

    texts: list[NDArray[np.int64]]
    starts: list[int]
    stretches: list[int]


def run_length(texts: Sequence[str]) -> int:
    """Characters of a run in texts of this script."""
    characters = "".join(texts[:: max(1, len(texts) // 50)])
    return WIDE_RUN if len(WIDE.findall(characters)) > WIDE_SHARE * len(characters) else RUN


def recurring_runs(texts: Sequence[str], length: int, least: int) -> Runs:
    """The runs of `length` characters that at least so many texts have."""
    sizes = np.array([len(text) for text in texts], dtype=np.int64)
    joined = "".join(texts)
    hashes = np.zeros(max(0, len(joined) - length + 1), dtype=np.uint64)
    if not len(hashes):
        return Runs([], [], [])
    codes = np.frombuffer(joined.encode("utf-32-le", "surrogatepass"), dtype=np.uint32).astype(np.uint64)
    for i in range(length):
        hashes = hashes * MULTIPLIER + codes[i : len(hashes) + i]
    owners, offsets = np.repeat(np.arange(len(texts)), sizes), np.repeat(np.cumsum(sizes) - sizes, sizes)
    inside = owners[: len(hashes)] == owners[length - 1 :]
    places = np.flatnonzero(inside)
    places = places[np.argsort(hashes[places], kind="stable")]
    keys, texts_of = hashes[places], owners[places]
    new_run = np.diff(keys, prepend=keys[:1] + np.uint64(1)) != 0
    once = new_run | (np.diff(texts_of, prepend=-1) != 0)
    counts = np.add.reduceat(once, np.flatnonzero(new_run)) if len(places) else np.zeros(0, dtype=np.int64)
    frequency = np.zeros(len(hashes), dtype=np.int64)
    frequency[places] = counts[np.cumsum(new_run) - 1]
    places, texts_of, new_run = places[once], texts_of[once], new_run[once]
    bounds = np.append(np.flatnonzero(new_run), len(places))
    enough = np.flatnonzero(np.diff(bounds) >= least)
    firsts = [int(places[bounds[i]]) for i in enough]
    return Runs(
        [texts_of[bounds[i] : bounds[i + 1]] for i in enough],
        [first - int(offsets[first]) for first in firsts],
        [_stretch(frequency[first : first + LONGEST_STRETCH]) for first in firsts],
    )


def _stretch(frequency: NDArray[np.int64]) -> int:
    """How many of these run frequencies are like the first, from the first on."""
    alike = (frequency >= ALIKE * frequency[0]) & (frequency <= frequency[0] / ALIKE)
    return int(np.argmin(alike)) if not alike.all() else len(alike)


def share_a_run(texts: Sequence[str], others: Sequence[str], *, phrase: str, share: float) -> bool:
    """Whether a share of the texts have a run in common, half as long as a phrase, and others have it less often."""
    if not texts:
        return False
    length = run_length(texts)
    length = max(length, weighted_length(phrase) // (2 * (RUN // length)))
    runs = recurring_runs(texts, length, max(2, math.ceil(share * len(texts))))
    for numbers, start in zip(runs.texts, runs.starts, strict=True):
        run = texts[numbers[0]][start : start + length]
        if LIFT * sum(run in other for other in others) * len(texts) <= len(numbers) * len(others):
            return True
    return False
