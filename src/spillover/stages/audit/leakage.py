"""Test items that the model is shown on the way: shots, training questions and other splits that are test items.

Exact: every field equal after normalisation, in any language. Near: every field shares at least `near_duplicate` of its
character 4-grams with the test item's, in the same language.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from spillover.core.types import Example, Finding
from spillover.stages.audit.profile import Languages, Sheet, counted, item_hash, told
from spillover.tasks.overlap import near_index

HINT = "`spillover build --overlap drop` leaves out the exact ones; take the others out of the file"


def shots_in_test(sheet: Sheet) -> Iterator[Finding]:
    """Few-shot examples that are test items, exactly or nearly. Cannot see one that is told in other words."""
    wording = sheet.task.wordings.get(sheet.language)
    if wording is None:
        return
    shots = [Example(shot, sheet.language, fields) for shot, fields in wording.shots.items()]
    exact = {
        shot.id: [sheet.rows[i].id for i in np.flatnonzero(sheet.hashes == item_hash(shot)).tolist()] for shot in shots
    }
    # Items are looked up among the shots, not shots among the items, of which there may be a million.
    others = near_index([shot for shot in shots if not exact[shot.id]]).near(sheet.rows, sheet.config.near_duplicate)
    near = {shot.id: [item for item, found in others.items() if found == shot.id] for shot in shots}
    for check, severity, found, how in (
        ("shot-in-test", "error", exact, "are"), ("shot-near-test", "warning", near, "are nearly"),
    ):  # fmt: skip
        items = [item for own in found.values() for item in own]
        if items:
            names = ", ".join(f"{shot} = {own[0]}" for shot, own in found.items() if own)
            yield sheet.finding(
                check, severity, f"few-shot examples {how} test items: {names}", items,
                mend="choose other shots, in every language",
            )  # fmt: skip


def leaked_questions(sheet: Sheet, tested: ItemHashes, items: Sequence[Example]) -> Iterator[Finding]:
    """Rows of another split (training questions, which are either side of a translation pair) that are test items.

    sheet: the split in one language. items: the test items in that language. Sees equal items across all languages, and
    nearly equal ones within the language. Cannot see a paraphrase, nor a near copy that was translated into another
    language, unless its own language's test file is there.
    """
    where = {sheet.rows[i].id: place for i, place in tested.places(sheet.hashes)}
    if where:
        pairs = told(f"{row} = {item}" for row, item in where.items())
        yield sheet.finding(
            "leaked-question", "error",
            f"{sheet.split}: {counted(len(where), 'are', 'row')} among the test items: {pairs}", list(where),
            evidence={"test items": where}, mend=HINT,
        )  # fmt: skip
    others = [row for row in sheet.rows if row.id not in where]
    near = near_index(items).near(others, sheet.config.near_duplicate)
    if near:
        pairs = told(f"{row} = {item}" for row, item in near.items())
        yield sheet.finding(
            "near-leak", "warning",
            f"{sheet.split}: {counted(len(near), 'are', 'row')} close to a test item: {pairs}", list(near),
            evidence={"test items": near}, certainty="likely", mend=HINT,
        )  # fmt: skip


class ItemHashes:
    """Hashes of the test items of all languages, sorted, and where each stands first."""

    def __init__(self, languages: Languages) -> None:
        self.codes, self.names = list(languages.profiles), languages.names()
        found = list(languages.profiles.values())
        self.keys, first = np.unique(np.concatenate([own.keys for own in found]), return_index=True)
        self.languages = np.repeat(np.arange(len(found)), [len(own.keys) for own in found])[first]
        self.items = np.concatenate([own.items for own in found])[first]

    def places(self, hashes: NDArray[np.uint64]) -> Iterator[tuple[int, str]]:
        """(position, `language id` of the first test item with its hash) of those that are test items."""
        at = np.minimum(np.searchsorted(self.keys, hashes), len(self.keys) - 1)
        for i in np.flatnonzero(self.keys[at] == hashes).tolist():
            yield i, f"{self.codes[self.languages[at[i]]]} {self.names[self.items[at[i]]]}"


def unknown_training_labels(sheet: Sheet) -> Iterator[Finding]:
    """Labels of another split that the task does not have. Rows without a label are questions, and fine."""
    bad = [row for row in sheet.rows if row.label is not None and row.label not in sheet.task.labels]
    if bad:
        words = sorted({str(row.label) for row in bad})
        yield sheet.finding(
            "unknown-label", "error",
            f"{sheet.split}: {counted(len(bad), 'have', 'row')} a label that the test set does not: {told(words)}",
            [row.id for row in bad], evidence={"words": words, "mapping": dict.fromkeys(words)},
            mend=f"use {', '.join(sheet.task.labels)}",
        )  # fmt: skip
