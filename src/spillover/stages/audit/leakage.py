"""Test items that the model is shown on the way: shots, training questions and other splits that are test items.

Exact: every field equal after normalisation, in any language. Near: every field shares at least `near_duplicate` of its
character 4-grams with the test item's, in the same language.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from spillover.core.types import Example
from spillover.stages.audit.inputs import Fault, LanguageRows, computed_once, item_hash
from spillover.stages.audit.messages import counted, preview
from spillover.stages.audit.profile import LanguageProfiles
from spillover.tasks.overlap import near_index

LEAK = "`spillover build --overlap drop` leaves out the exact ones; remove the others from the file"
OTHER_SHOTS = "choose other shots, in every language"


@computed_once
def _exact_shots(rows: LanguageRows) -> dict[str, list[str]]:
    """Ids of the test items that each few-shot example is."""
    return {
        shot.id: [rows.rows[i].id for i in np.flatnonzero(rows.hashes == item_hash(shot)).tolist()]
        for shot in _shots(rows)
    }


def _shots(rows: LanguageRows) -> list[Example]:
    wording = rows.task.wordings.get(rows.language)
    if wording is None:
        return []
    return [
        Example(shot, rows.language, {name: fields[name] for name in rows.task.fields})
        for shot, fields in wording.shots.items()
    ]


def shots_in_test(rows: LanguageRows) -> Iterator[Fault]:
    """Few-shot examples that are test items. Cannot see one with other words: that is `shot-near-test` at best."""
    yield from _shown_items(_exact_shots(rows), "are")


def shots_near_test(rows: LanguageRows) -> Iterator[Fault]:
    """Few-shot examples that are nearly test items. Cannot see one that says the same in other words."""
    shots = [shot for shot in _shots(rows) if not _exact_shots(rows)[shot.id]]
    # Items are looked up among the shots, not shots among the items, of which there may be a million.
    nearest = near_index(shots).near(rows.rows, rows.thresholds.near_duplicate)
    near = {shot.id: [item for item, shot_id in nearest.items() if shot_id == shot.id] for shot in shots}
    yield from _shown_items(near, "are nearly")


def _shown_items(items_by_shot: dict[str, list[str]], verb: str) -> Iterator[Fault]:
    ids = [example_id for items in items_by_shot.values() for example_id in items]
    if ids:
        listed = ", ".join(f"{shot} = {items[0]}" for shot, items in items_by_shot.items() if items)
        yield Fault(f"few-shot examples {verb} test items: {listed}", ids, suggestion=OTHER_SHOTS)


class ItemHashes:
    """Hashes of the test items of all languages, sorted, and the first item with each."""

    def __init__(self, languages: LanguageProfiles) -> None:
        """languages: with at least one profile."""
        self.codes, self.item_ids = languages.codes, languages.item_ids()
        profiles = list(languages.profiles.values())
        self.hashes, first = np.unique(np.concatenate([profile.keys for profile in profiles]), return_index=True)
        self.languages = np.repeat(np.arange(len(profiles)), [len(profile.keys) for profile in profiles])[first]
        self.items = np.concatenate([profile.items for profile in profiles])[first]

    def find(self, hashes: NDArray[np.uint64]) -> Iterator[tuple[int, str]]:
        """(position, `language id` of the first test item with its hash) of those that are test items."""
        at = np.minimum(np.searchsorted(self.hashes, hashes), len(self.hashes) - 1)
        for i in np.flatnonzero(self.hashes[at] == hashes).tolist():
            yield i, f"{self.codes[self.languages[at[i]]]} {self.item_ids[self.items[at[i]]]}"


@dataclass(frozen=True, eq=False)
class OtherSplit:
    """One language's rows of another split, with the test items to compare them with: of all languages by hash, of the
    same language as text."""

    rows: LanguageRows
    hashes: ItemHashes
    test_rows: Sequence[Example]

    @cached_property
    def test_items(self) -> dict[str, str]:
        """Rows that are test items, by id: `language id` of the item."""
        return {self.rows.rows[i].id: item for i, item in self.hashes.find(self.rows.hashes)}


def leaked_questions(split: OtherSplit) -> Iterator[Fault]:
    """Rows of another split (training questions, which are either side of a translation pair) that are test items.

    Sees equal items across all languages. Cannot see a paraphrase.
    """
    if split.test_items:
        yield _leak(split.rows.split, split.test_items, "among the test items")


def nearly_leaked_questions(split: OtherSplit) -> Iterator[Fault]:
    """Rows of another split that are nearly test items of the same language.

    Cannot see a paraphrase, nor a near copy that was translated into another language.
    """
    others = [row for row in split.rows.rows if row.id not in split.test_items]
    near = near_index(split.test_rows).near(others, split.rows.thresholds.near_duplicate)
    if near:
        yield replace(_leak(split.rows.split, near, "close to a test item"), certainty="likely")


def _leak(split: str, items: dict[str, str], where: str) -> Fault:
    """items: test item by row id."""
    listed = preview(f"{row} = {item}" for row, item in items.items())
    return Fault(
        f"{split}: {counted(len(items), 'are', 'row')} {where}: {listed}",
        list(items),
        evidence={"test items": items},
        suggestion=LEAK,
    )


def unknown_training_labels(split: OtherSplit) -> Iterator[Fault]:
    """Labels of another split that the task does not have.

    Rows without a label are questions, and fine. Cannot see a wrong label that the task has.
    """
    labels = split.rows.task.labels
    unknown = [row for row in split.rows.rows if row.label is not None and row.label not in labels]
    if unknown:
        words = sorted({str(row.label) for row in unknown})
        yield Fault(
            f"{split.rows.split}: {counted(len(unknown), 'have', 'row')} a label that the test set does not: "
            f"{preview(words)}",
            [row.id for row in unknown],
            evidence={"words": words, "mapping": dict.fromkeys(words)},
            suggestion=f"use {', '.join(labels)}",
        )
