"""Items that measure nothing, or twice: duplicates, pairs with one side, labels that stand in the text."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

import numpy as np

from spillover.core.types import Example, Finding, Wording
from spillover.stages.audit.profile import Sheet, counted
from spillover.tasks.overlap import normalise, text_key


def repeated_ids(sheet: Sheet) -> Iterator[Finding]:
    """Ids that stand more than once: nobody can say which row is the item. The same row again is only too much. Cannot
    see one item under two ids: that is `repeated-item`."""
    counts = Counter(row.id for row in sheet.rows)
    again: dict[str, list[Example]] = {}
    for row in sheet.rows if len(counts) < len(sheet.rows) else ():
        if counts[row.id] > 1:
            again.setdefault(row.id, []).append(row)
    if again:
        same = [i for i, rows in again.items() if all(row == rows[0] for row in rows)]
        yield sheet.finding(
            "repeated-id", "error", f"{counted(len(again), 'stand', 'id')} more than once", list(again),
            evidence={"same row again": same}, certainty="certain",
            mend="`--fix` leaves out the rows that are the same" if same else "give each item its own id",
        )  # fmt: skip


def repeated_items(sheet: Sheet) -> Iterator[Finding]:
    """Items with the text of another, and among them those with two labels, of which a perfect model gets one wrong.

    Sees equality after case, punctuation and blanks are dropped, all fields. Two items that became one in translation
    are reported here; those that are one in the reference too are the reference's, and reported there alone. Cannot see
    items that say the same in other words.
    """
    twice, merged, lost = [], 0, []
    for rows in _groups(sheet):
        if len({row.id for row in rows}) == 1:
            continue
        twins = [sheet.reference.get(row.id) for row in rows]
        apart = {text_key(twin) if twin else row.id for row, twin in zip(rows, twins, strict=True)}
        if sheet.reference and len(apart) == 1:
            continue
        merged += bool(sheet.reference)
        twice += [row.id for row in rows]
        common = Counter(row.label for row in rows).most_common(1)[0][0]
        lost += [row.id for row in rows if row.label != common]
    if not twice:
        return
    n = len(sheet.rows)
    how = f"; {counted(merged, 'come', 'group')} of translation" if merged else ""
    yield sheet.finding(
        "repeated-item", "warning", f"{counted(len(twice), 'have')} the text of another{how}", twice,
        mend="leave all but one out in every language, or translate them again",
    )  # fmt: skip
    if lost:
        yield sheet.finding(
            "repeated-item-labels", "warning",
            f"{counted(len(lost), 'have')} the text of another and a different label, which a perfect model misses",
            lost, ceiling=1 - len(lost) / n, mend="leave them out in every language, or translate them again",
        )  # fmt: skip


def _groups(sheet: Sheet) -> list[list[Example]]:
    """Rows that are one text, for each text that stands more than once."""
    keys, counts = np.unique(sheet.hashes, return_counts=True)
    groups: dict[int, list[Example]] = {}
    for i in np.flatnonzero(np.isin(sheet.hashes, keys[counts > 1])).tolist():
        groups.setdefault(int(sheet.hashes[i]), []).append(sheet.rows[i])
    return list(groups.values())


def identical_sides(sheet: Sheet) -> Iterator[Finding]:
    """Pairs whose two sides are one text although the reference's differ, and pairs whose sides differ although the
    reference's are one.

    Sees equality after case, punctuation and blanks are dropped; in the reference itself it is the source's own. Such a
    pair cannot be told "different", whatever its label. Cannot see sides that became nearly one.
    """
    if len(sheet.task.fields) < 2:
        return
    same = {row.id: row.label for row in sheet.rows if one_sided(row)}
    source = {row.id for row in sheet.reference.values() if one_sided(row)}
    became = [example_id for example_id in same if example_id not in source]
    if became:
        labels = Counter(str(same[example_id]) for example_id in became)
        told = ", ".join(f"{n} x {label}" for label, n in labels.items())
        where = "identical sides" + (" that differ in the reference" if sheet.reference else "")
        yield sheet.finding(
            "identical-sides", "warning", f"{counted(len(became), 'have')} {where} ({told})", became,
            evidence={"labels": dict(labels), "also in the reference": len(same) - len(became)},
            mend="translate them again, or leave them out in every language",
        )  # fmt: skip
    apart = [row.id for row in sheet.rows if row.id in source and row.id not in same]
    if apart:
        yield sheet.finding(
            "differing-sides", "note", f"{counted(len(apart), 'have')} two sides where the reference has one text",
            apart, mend="compare the rows with the reference",
        )  # fmt: skip


def one_sided(row: Example) -> bool:
    """Whether all fields of an item are one text after normalisation."""
    return len(set(text_key(row))) == 1


def leaked_labels(sheet: Sheet) -> Iterator[Finding]:
    """Items that say their own label: the text ends with the template's word for the answer and a label word, or the
    label word stands alone in a field.

    Sees the label words of the language and of the task's label sets. Cannot see a label that is only hinted at: that a
    review says "positive" is no leak.
    """
    wording = sheet.task.wordings.get(sheet.language)
    if wording is None:
        return
    words = {normalise(word) for word in wording.labels.values()}
    words |= {normalise(word) for chosen in sheet.task.label_sets.values() for word in chosen.values()}
    marker = _answer_marker(wording, words)
    leaked = [row.id for row in sheet.rows if any(text in words or marker.search(text) for text in text_key(row))]
    if leaked:
        yield sheet.finding(
            "label-in-text", "warning", f"{counted(len(leaked), 'say')} the label", leaked, certainty="likely",
            mend="take the answer out of the text",
        )  # fmt: skip


def _answer_marker(wording: Wording, words: set[str]) -> re.Pattern[str]:
    """The last word of the template, and a label word after it, at the end of a text."""
    answer = list(wording.words.values())[-1] if wording.words else ""
    choices = "|".join(re.escape(word) for word in sorted(words, key=len, reverse=True) if word)
    return re.compile(rf"\b{re.escape(normalise(answer))} (?:{choices})$" if answer else r"(?!)")
