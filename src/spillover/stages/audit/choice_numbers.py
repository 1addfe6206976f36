"""Numbers inside an answer that differ from the other languages': in an item's text a lost number may not matter, in an
answer it is often all that tells it from the next."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from spillover.stages.audit.choice_order import reordered_item_numbers
from spillover.stages.audit.inputs import Fault
from spillover.stages.audit.messages import counted
from spillover.stages.audit.parallelism import shifted_item_numbers
from spillover.stages.audit.profile import LanguageProfiles


def choice_numbers(languages: LanguageProfiles) -> Iterator[Fault]:
    """Answers with another number than in the other languages; as a note, those without one, which may be in words.

    Sees numbers that `consensus` of the other languages and the reference have in the same answer, where another number
    stands instead that no other language has; without one, of at least `number_digits` digits. Passes over 10.30 for
    10:30, and over what `shifted-items` and `choice-order` explain. Cannot tell a wrong number from another calendar
    or another unit.
    """
    if languages.slots < 2 or len(languages.profiles) < 2:
        return
    ids, digits = languages.item_ids(), languages.choice_digits()
    reordered, shifted = reordered_item_numbers(languages), shifted_item_numbers(languages)
    for code, places in _differing_numbers(languages).items():
        number = languages.codes.index(code)
        explained = {*reordered.get(code, np.zeros(0)).tolist(), *shifted.get(code, ())}
        other: dict[str, list[int]] = {}
        none: dict[str, list[int]] = {}
        for item, slot in places:
            own, others = digits[number, item, slot], np.delete(digits[:, item, slot], number)
            if item not in explained and (own == 0 or own not in others):
                (other if own else none).setdefault(ids[item], []).append(slot)
        if not languages.believed(code):
            yield from _faults(code, other, none)


def _faults(code: str, other: dict[str, list[int]], none: dict[str, list[int]]) -> Iterator[Fault]:
    """other, none: places of the answers with another number and without one, by example id."""
    compare = "compare these answers with the reference"
    if other:
        yield Fault(
            f"{counted(len(other), 'have')} another number in an answer than in the other languages",
            list(other),
            code,
            evidence={"choices": other},
            certainty="likely",
            suggestion=compare,
        )
    if none:
        yield Fault(
            f"{counted(len(none), 'have')} an answer without the number that it has in the other languages",
            list(none),
            code,
            evidence={"choices": none},
            certainty="possible",
            severity="note",
            suggestion=compare,
        )


def _differing_numbers(languages: LanguageProfiles) -> dict[str, list[tuple[int, int]]]:
    """By language the (item, place) of answers without a number that they should have."""
    keys = {code: _numbers(languages, code) for code in languages.profiles}
    known, counts = np.unique(np.concatenate(list(keys.values())), return_counts=True)
    items, slots = _place(known)
    has_digits, has_answer = languages.choice_digits() != 0, languages.n_choices()
    n_digits = known & np.uint64(0xF)
    differing = {}
    for number, code in enumerate(languages.profiles):
        present = (has_answer > 0).sum(axis=0) - (has_answer[number] > 0)
        own = np.isin(known, keys[code], assume_unique=True)
        usual = counts - own >= languages.thresholds.consensus * np.maximum(present[items], 1)
        if languages.reference in keys:
            usual &= np.isin(known, keys[languages.reference], assume_unique=True)
        other_number = has_digits[number, items, slots]
        lost = usual & ~own & (slots < has_answer[number, items])
        lost &= other_number | (n_digits >= languages.thresholds.number_digits)
        differing[code] = list(dict.fromkeys(zip(items[lost].tolist(), slots[lost].tolist(), strict=True)))
    return differing


def _numbers(languages: LanguageProfiles, code: str) -> NDArray[np.uint64]:
    """(item, place, number) of a language as single numbers, each once."""
    columns, profile = languages.choices[code], languages.profiles[code]
    rows, slots = columns.anchor_rows[columns.is_number], columns.anchor_slots[columns.is_number]
    places = profile.items[rows].astype(np.uint64) << np.uint64(36) | slots.astype(np.uint64) << np.uint64(32)
    return np.unique(places | columns.anchors[columns.is_number].astype(np.uint64))


def _place(keys: NDArray[np.uint64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    items = (keys >> np.uint64(36)).astype(np.int64)
    return items, ((keys >> np.uint64(32)) & np.uint64(0xF)).astype(np.int64)
