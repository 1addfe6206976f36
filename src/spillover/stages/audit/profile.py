"""What is kept of each language for the checks across languages: numbers, no text.

Texts of one language and of the reference are in memory at a time. Of every language a `Profile` stays, so that 20
languages of 100,000 items fit into a laptop.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from spillover.core.config import AuditThresholds
from spillover.core.types import Example, Task
from spillover.stages.audit.added_affixes import added_affixes
from spillover.stages.audit.added_phrases import USUAL, added_phrases
from spillover.stages.audit.anchor_columns import AnchorColumns, TiltColumns
from spillover.stages.audit.choice_columns import ChoiceColumns, choice_columns
from spillover.stages.audit.inputs import LanguageRows
from spillover.stages.audit.text_features import (
    NAME,
    SHAPE_FEATURES,
    count_tags,
    has_final_punctuation,
    name_hash,
    name_places,
    number_places,
    text_shape,
    weighted_length,
)
from spillover.tasks.overlap import normalise

Value = TypeVar("Value", bound=np.generic)


@dataclass(frozen=True)
class Profile:
    """What is kept of one language, a row for each of its items in file order. Fields: where items bring their own
    answers, these stand behind the task's fields.

    items: [n] number of the item's id. labels: [n] number of the label word, -1 for none. shape: [n, fields,
    SHAPE_FEATURES] log length and counts of punctuation. ends: [n, fields] the text has final punctuation. letters: [n,
    fields]; of answers, without capitalised words, since many answers are names. same: [n, fields] equal to the
    reference's text.
    anchors, anchor_rows: hashes of numbers and names, and the row each stands in; is_number says which are numbers.
    keys: [n] hash of the normalised item. texts: [n, fields] hash of each text. tags: [n,
    fields] number of HTML tags.
    tilt_names, tilt_rows, tilts: of two fields, stems of names and numbers, the row each stands in, and where: 100 for
    the first field alone, -100 for the second alone, in between the difference of its places in the two.
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
    texts: NDArray[np.uint32]
    tags: NDArray[np.uint8]
    tilt_names: NDArray[np.uint32]
    tilt_rows: NDArray[np.int32]
    tilts: NDArray[np.int8]


@dataclass(frozen=True, eq=False)
class Phrase:
    """A phrase in one field of a language that may have been added there. length: weighted characters. items: [k]
    numbers of the items that hold it. known: that it was added is known without the other languages' lengths."""

    field: int
    text: str
    length: int
    items: NDArray[np.int32]
    known: bool


@dataclass(eq=False)
class LanguageProfiles:
    """The profiles of all languages of one task. `ids` and `words` number item ids and label words: the task's labels
    first, then whatever else the data has. `sizes`: rows of each (split, language). `phrases`: of each language.
    `slots`: the most answers that an item of the first language brings, 0 where items bring none; `choices`: of each
    language. `clusters` numbers them."""

    task: Task
    thresholds: AuditThresholds
    reference: str
    ids: dict[str, int] = field(default_factory=dict)
    words: dict[str, int] = field(default_factory=dict)
    profiles: dict[str, Profile] = field(default_factory=dict)
    sizes: dict[tuple[str, str], int] = field(default_factory=dict)
    phrases: dict[str, list[Phrase]] = field(default_factory=dict)
    slots: int = 0
    choices: dict[str, ChoiceColumns] = field(default_factory=dict)
    clusters: dict[str, int] = field(default_factory=dict)
    cache: dict[Hashable, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Number the task's labels first."""
        self.words |= {label: i for i, label in enumerate(self.task.labels)}

    def add(self, rows: LanguageRows) -> None:
        """Keep what the checks across languages need of one language."""
        if not self.profiles:
            self.slots = max((len(row.choices) for row in rows.rows), default=0)
        self.choices[rows.language] = choice_columns(rows.rows, self.slots, self.clusters)
        self.profiles[rows.language] = profile(rows, self.ids, self.words, self.n_texts)
        if rows.reference:
            self.phrases[rows.language] = self._phrases(rows.rows, rows.reference)
        if rows.reference and self.reference not in self.phrases:
            counterparts = {row.id: row for row in rows.rows}
            self.phrases[self.reference] = self._phrases(list(rows.reference.values()), counterparts)

    def _phrases(self, rows: Sequence[Example], counterparts: Mapping[str, Example]) -> list[Phrase]:
        """What may have been added to the texts of one language, beside another."""
        pairs = [(row, counterparts[row.id]) for row in rows if row.id in counterparts]
        phrases = []
        for number, name in enumerate(self.task.fields):
            texts, others = [row.fields[name] for row, _ in pairs], [other.fields[name] for _, other in pairs]
            affixes = added_affixes(texts, others, self.thresholds.added_share)
            for text in dict.fromkeys([*affixes, *added_phrases(texts, others, self.thresholds.added_share)]):
                items = np.array([self.ids[row.id] for row in rows if text in row.fields[name]], dtype=np.int32)
                known = text in affixes or len(items) >= USUAL * len(rows)
                phrases.append(Phrase(number, text, weighted_length(text), items, known))
        return phrases

    @property
    def first_slot(self) -> int:
        """The field at which an item's own answers begin: a pair's are all the fields that it has."""
        return len(self.task.fields) if self.task.kind == "choices" else 0

    @property
    def n_texts(self) -> int:
        """Length of the axis of fields: an item's fields, and the answers that it brings."""
        return max(len(self.task.fields), self.first_slot + self.slots)

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

    def texts(self) -> NDArray[np.uint32]:
        """[languages, items, fields] hash of each text."""
        return self._by_item(lambda profile: profile.texts, 0)

    def tags(self) -> NDArray[np.uint8]:
        """[languages, items, fields] number of HTML tags."""
        return self._by_item(lambda profile: profile.tags, 0)

    def n_choices(self) -> NDArray[np.int32]:
        """[languages, items] number of answers that an item brings."""
        return self._by_choice(lambda columns: columns.counts)

    def choice_shapes(self) -> NDArray[np.float64]:
        """[languages, items, slots, SHAPE_FEATURES] as `shapes`, of the answers; NaN where there is none."""
        shapes = self.shapes()[:, :, self.first_slot : self.first_slot + self.slots].astype(np.float64)
        shapes[np.arange(self.slots) >= self.n_choices()[..., None]] = np.nan
        return shapes

    def cluster_numbers(self) -> NDArray[np.int32]:
        """[languages, items] number of each item's cluster, -1 where it has none or the language lacks it."""
        return self._by_choice(lambda columns: columns.clusters, -1)

    def choice_digits(self) -> NDArray[np.uint32]:
        """[languages, items, slots] hash of all digits of each answer, 0 for none."""
        return self._by_choice(lambda columns: columns.digits)

    def choice_lengths(self) -> dict[str, NDArray[np.int32]]:
        """Unit of length → [languages, items, slots] length of each answer, 0 where there is none."""
        return {
            "characters": self._by_choice(lambda columns: columns.characters),
            "bytes": self._by_choice(lambda columns: columns.utf8),
        }

    def _by_choice(self, values: Callable[[ChoiceColumns], NDArray[Value]], empty: int = 0) -> NDArray[Value]:
        kept = zip(self.profiles.values(), self.choices.values(), strict=True)
        return np.stack([self._of_language(profile.items, values(columns), empty) for profile, columns in kept])

    def _by_item(self, values: Callable[[Profile], NDArray[Value]], empty: object) -> NDArray[Value]:
        """[languages, items, ...] of values that the profiles hold row by row."""
        return np.stack([self._of_language(kept.items, values(kept), empty) for kept in self.profiles.values()])

    def _of_language(self, items: NDArray[np.int32], values: NDArray[Value], empty: object) -> NDArray[Value]:
        by_item = np.full((len(self.ids), *values.shape[1:]), empty, dtype=values.dtype)
        by_item[items[::-1]] = values[::-1]
        return by_item


def profile(rows: LanguageRows, ids: dict[str, int], words: dict[str, int], fields: int) -> Profile:
    """The profile of one language; new ids and label words are numbered. fields: length of the axis of texts."""
    n = len(rows.rows)
    shape = np.zeros((n, fields, SHAPE_FEATURES), dtype=np.float32)
    ends = np.zeros((n, fields), dtype=np.bool_)
    letters = np.zeros((n, fields), dtype=np.int32)
    text_hashes = np.zeros((n, fields), dtype=np.uint32)
    tags = np.zeros((n, fields), dtype=np.uint8)
    same = np.zeros((n, fields), dtype=np.bool_)
    items, labels = np.zeros(n, dtype=np.int32), np.zeros(n, dtype=np.int32)
    anchors, tilts = AnchorColumns(), TiltColumns()
    for i, row in enumerate(rows.rows):
        items[i] = ids.setdefault(row.id, len(ids))
        labels[i] = -1 if row.label is None else words.setdefault(row.label, len(words))
        texts = list(rows.texts(row).values())[:fields]
        counterpart = rows.reference.get(row.id)
        for j, text in enumerate(texts):
            shape[i, j] = text_shape(text)
            ends[i, j] = has_final_punctuation(text)
            letters[i, j] = sum(map(str.isalpha, text if j < len(row.fields) else NAME.sub(" ", text)))
            text_hashes[i, j] = zlib.crc32(text.encode())
            tags[i, j] = min(count_tags(text), 255)
        if counterpart is not None:
            same[i] = _equal_texts(texts, list(rows.texts(counterpart).values()), fields)
        numbers, names = [number_places(text) for text in texts], [name_places(text) for text in texts]
        anchors.add(i, set().union(*numbers), {name_hash(name) for places in names for name in places})
        if len(row.fields) == fields == 2:
            tilts.add(i, texts, numbers, names)
    return Profile(
        rows.language, items, labels, shape, ends, letters, same, *anchors.arrays(), rows.hashes,
        text_hashes, tags, *tilts.arrays(),
    )  # fmt: skip


def _equal_texts(texts: Sequence[str], others: Sequence[str], fields: int) -> list[bool]:
    """For each field whether two texts are one after normalisation; where both rows have none, they are."""
    ours, theirs = ([normalise(text) for text in (*row, *[""] * fields)[:fields]] for row in (texts, others))
    return [own == other for own, other in zip(ours, theirs, strict=True)]
