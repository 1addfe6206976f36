"""Items that measure nothing, or measure twice: duplicates, pairs with equal sides, labels that stand in the text."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from spillover.core.types import Example, Wording
from spillover.stages.audit.inputs import Fault, LanguageRows, computed_once
from spillover.stages.audit.messages import counted
from spillover.stages.audit.row_repairs import DropCopies
from spillover.tasks.overlap import normalise, text_key


def repeated_ids(rows: LanguageRows) -> Iterator[Fault]:
    """Ids that stand more than once: it is unknown which row is the item. Of identical rows one is superfluous. Cannot
    see one item under two ids: that is `repeated-item`."""
    counts = Counter(row.id for row in rows.rows)
    repeated: dict[str, list[Example]] = {}
    for row in rows.rows if len(counts) < len(rows.rows) else ():
        if counts[row.id] > 1:
            repeated.setdefault(row.id, []).append(row)
    if repeated:
        identical = [i for i, same_id in repeated.items() if all(row == same_id[0] for row in same_id)]
        yield Fault(
            f"{counted(len(repeated), 'stand', 'id')} more than once",
            list(repeated),
            evidence={"same row again": identical},
            suggestion="`--fix` leaves out the copies of identical rows" if identical else "give each item its own id",
            repair=DropCopies(frozenset(identical)) if identical else None,
        )


@dataclass(frozen=True)
class RepeatedTexts:
    """Items with the text of another. mislabelled: those of them whose label is not their group's most frequent.
    from_translation: groups of items that differ in the reference."""

    example_ids: list[str]
    mislabelled: list[str]
    from_translation: int


@computed_once
def _repeated_texts(rows: LanguageRows) -> RepeatedTexts:
    example_ids: list[str] = []
    mislabelled: list[str] = []
    from_translation = 0
    for group in _equal_texts(rows):
        if len({row.id for row in group}) == 1:
            continue
        counterparts = [rows.reference.get(row.id) for row in group]
        texts = {text_key(other) if other else row.id for row, other in zip(group, counterparts, strict=True)}
        if rows.reference and len(texts) == 1:
            continue
        from_translation += bool(rows.reference)
        example_ids += [row.id for row in group]
        most_frequent = Counter(row.label for row in group).most_common(1)[0][0]
        mislabelled += [row.id for row in group if row.label != most_frequent]
    return RepeatedTexts(example_ids, mislabelled, from_translation)


def _equal_texts(rows: LanguageRows) -> list[list[Example]]:
    """Rows with one text, and the same answers where they bring their own, for each text that stands more than once."""
    hashes, counts = np.unique(rows.hashes, return_counts=True)
    groups: dict[tuple[str, ...], list[Example]] = {}
    for i in np.flatnonzero(np.isin(rows.hashes, hashes[counts > 1])).tolist():
        key = (str(rows.hashes[i]), *map(normalise, rows.rows[i].choices))
        groups.setdefault(key, []).append(rows.rows[i])
    return [group for group in groups.values() if len(group) > 1]


def repeated_items(rows: LanguageRows) -> Iterator[Fault]:
    """Items with the text of another.

    Sees equality after case, punctuation and whitespace are dropped, in all fields. Two items that became one in
    translation are reported here; those that are one in the reference too are the reference's, and reported there
    alone. Cannot see items that say the same in other words.
    """
    repeated = _repeated_texts(rows)
    if repeated.example_ids:
        groups = repeated.from_translation
        cause = f"; {counted(groups, 'come', 'group')} of translation" if groups else ""
        yield Fault(
            f"{counted(len(repeated.example_ids), 'have')} the text of another{cause}",
            repeated.example_ids,
            suggestion="leave all but one out in every language, or translate them again",
        )


def repeated_item_labels(rows: LanguageRows) -> Iterator[Fault]:
    """Items with the text of another and a different label: a perfect model gets one of them wrong.

    Sees what `repeated-item` sees. Cannot see which of the labels is right: the most frequent one is taken to be.
    """
    ids = _repeated_texts(rows).mislabelled
    if ids:
        yield Fault(
            f"{counted(len(ids), 'have')} the text of another and a different label, which a perfect model misses",
            ids,
            ceiling=1 - len(ids) / len(rows.rows),
            suggestion="leave them out in every language, or translate them again",
        )


@computed_once
def _equal_sides(rows: LanguageRows) -> dict[str, str | None]:
    """The label of each pair with equal sides, by example id; empty where items have one side."""
    if len(rows.task.fields) < 2:
        return {}
    return {row.id: row.label for row in rows.rows if has_equal_sides(row)}


@computed_once
def _equal_sides_in_reference(rows: LanguageRows) -> frozenset[str]:
    if len(rows.task.fields) < 2:
        return frozenset()
    return frozenset(row.id for row in rows.reference.values() if has_equal_sides(row))


def has_equal_sides(row: Example) -> bool:
    """Whether all fields of an item are one text after normalisation."""
    return len(set(text_key(row))) == 1


def identical_sides(rows: LanguageRows) -> Iterator[Fault]:
    """Pairs whose two sides are one text although the reference's differ.

    Sees equality after case, punctuation and whitespace are dropped; in the reference itself it is the source's fault.
    The label of such a pair cannot be "different". Cannot see sides that became nearly equal.
    """
    labels, in_reference = _equal_sides(rows), _equal_sides_in_reference(rows)
    ids = [example_id for example_id in labels if example_id not in in_reference]
    if ids:
        counts = Counter(str(labels[example_id]) for example_id in ids)
        listed = ", ".join(f"{n} x {label}" for label, n in counts.items())
        what = "identical sides" + (" that differ in the reference" if rows.reference else "")
        yield Fault(
            f"{counted(len(ids), 'have')} {what} ({listed})",
            ids,
            evidence={"labels": dict(counts), "also in the reference": len(labels) - len(ids)},
            suggestion="translate them again, or leave them out in every language",
        )


def differing_sides(rows: LanguageRows) -> Iterator[Fault]:
    """Pairs whose two sides differ although the reference's are one text. Cannot see whether the difference matters."""
    equal, in_reference = _equal_sides(rows), _equal_sides_in_reference(rows)
    ids = [row.id for row in rows.rows if row.id in in_reference and row.id not in equal]
    if ids:
        yield Fault(
            f"{counted(len(ids), 'have')} two sides where the reference has one text",
            ids,
            suggestion="compare the rows with the reference",
        )


def labels_in_text(rows: LanguageRows) -> Iterator[Fault]:
    """Items that say their own label: the text ends with the template's word for the answer and a label word, or the
    label word stands alone in a field.

    Sees the label words of the language and of the task's label sets. Cannot see a label that is only hinted at: that a
    review says "positive" is no leak.
    """
    wording = rows.task.wordings.get(rows.language)
    if wording is None:
        return
    words = {normalise(word) for word in wording.labels.values()}
    words |= {normalise(word) for label_set in rows.task.label_sets.values() for word in label_set.values()}
    answered = _answer_at_end(wording, words)
    ids = [row.id for row in rows.rows if any(text in words or answered.search(text) for text in text_key(row))]
    if ids:
        yield Fault(
            f"{counted(len(ids), 'say')} the label",
            ids,
            certainty="likely",
            suggestion="remove the answer from the text",
        )


def _answer_at_end(wording: Wording, words: set[str]) -> re.Pattern[str]:
    """The last word of the template, and a label word after it, at the end of a text."""
    answer = list(wording.words.values())[-1] if wording.words else ""
    choices = "|".join(re.escape(word) for word in sorted(words, key=len, reverse=True) if word)
    return re.compile(rf"\b{re.escape(normalise(answer))} (?:{choices})$" if answer else r"(?!)")
