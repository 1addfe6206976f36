"""Items that bring their own answers: which of them cannot be scored, and how a pair is read by the other checks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from spillover.core.errors import DataError
from spillover.core.types import Example, Task
from spillover.stages.audit.answer_indices import NO_INDEX, surely_counts_from_one
from spillover.stages.audit.inputs import Fault, LanguageRows
from spillover.stages.audit.messages import counted
from spillover.stages.audit.profile import LanguageProfiles
from spillover.tasks.choices import check_choices
from spillover.tasks.overlap import normalise

FIRST, SECOND = "first", "second"


def as_audited(task: Task, rows: list[Example]) -> tuple[Task, list[Example]]:
    """The task and its rows as the checks read them: the texts of a pair are its fields, since it has no others."""
    if task.kind != "pairs":
        return task, rows
    texts = [(*row.choices, "", "")[:2] for row in rows]
    fields = [dict(zip((FIRST, SECOND), pair, strict=True)) for pair in texts]
    return replace(task, fields=(FIRST, SECOND)), [
        replace(row, fields=own) for row, own in zip(rows, fields, strict=True)
    ]


def unusable_choices(rows: LanguageRows) -> Iterator[Fault]:
    """Items whose own answers cannot be scored: one alone, too many, an empty one, two that are equal, or a
    label that is the index of none of them.

    Passes over indices in a file that counts from 1: those are `shifted-answers`. Cannot see two answers that mean the
    same, nor a wrong one that is right.
    """
    problems: dict[str, str] = {}
    from_one = _counts_from_one(rows.rows)
    for row in rows.rows:
        if not row.choices:
            continue
        try:
            check_choices(row.id, replace(row, label=None) if from_one else row, rows.task)
        except DataError as error:
            problems[row.id] = error.message
    if problems:
        yield Fault(
            f"{counted(len(problems), 'have')} answers that cannot be scored: {next(iter(problems.values()))}",
            list(problems),
            evidence={"problems": list(problems.values())[:20]},
            ceiling=1 - len(problems) / len(rows.rows),
            suggestion="repair the rows, or leave them out in every language",
        )


def _counts_from_one(rows: Sequence[Example]) -> bool:
    indices = [int(row.label) if row.label is not None and row.label.isdecimal() else NO_INDEX for row in rows]
    return surely_counts_from_one(np.array(indices), np.array([len(row.choices) for row in rows]))


def equal_choices(rows: LanguageRows) -> Iterator[Fault]:
    """Items of which two answers are one text although the reference's differ: translation made them equal.

    Sees equality after case, punctuation and whitespace are dropped; in the reference itself it is the source's fault,
    and a note. Those that are equal to the letter are `unusable-choices` too. A pair's texts are `identical-sides`.
    Cannot see two answers that mean the same.
    """
    equal = [row for row in rows.rows if _has_equal_choices(row)]
    here = [row for row in equal if not _has_equal_choices(rows.reference.get(row.id, Example(row.id, "", {})))]
    if here:
        counts = Counter("the right one and another" if _right_is_equal(row) else "two wrong ones" for row in here)
        listed = ", ".join(f"{n} x {which}" for which, n in counts.items())
        what = "equal answers" + (" that differ in the reference" if rows.reference else "")
        yield Fault(
            f"{counted(len(here), 'have')} {what} ({listed})",
            [row.id for row in here],
            evidence={"also in the reference": len(equal) - len(here)},
            severity=None if rows.reference else "note",
            suggestion="translate them again, or leave them out in every language",
        )


def _has_equal_choices(row: Example) -> bool:
    return len(set(map(normalise, row.choices))) < len(row.choices)


def _right_is_equal(row: Example) -> bool:
    texts = list(map(normalise, row.choices))
    label = row.label or ""
    return label.isdecimal() and int(label) < len(texts) and texts.count(texts[int(label)]) > 1


def choice_counts(languages: LanguageProfiles) -> Iterator[Fault]:
    """Items with another number of answers than in most languages: no evaluation takes them.

    With two languages the reference is believed. Cannot see an answer that was replaced.
    """
    ids, counts = languages.item_ids(), languages.n_choices()
    usual = _most_frequent(languages, counts)
    for code, here in zip(languages.profiles, counts, strict=True):
        items = np.flatnonzero((here > 0) & (here != usual))
        if len(items) and not languages.believed(code):
            first = items[0]
            yield Fault(
                f"{counted(len(items), 'have')} another number of answers than in the other languages: "
                f"{ids[first]} has {here[first]}, not {usual[first]}",
                [ids[i] for i in items],
                code,
                suggestion="add what is missing, or leave the items out in every language",
            )


def cluster_mismatches(languages: LanguageProfiles) -> Iterator[Fault]:
    """Items without a cluster where others of the language have one, or with another than in most languages: no
    evaluation takes them. Cannot see clusters that are wrong in every language."""
    ids, clusters, present = languages.item_ids(), languages.cluster_numbers(), languages.present()
    usual = _most_frequent(languages, clusters)
    for code, here, there in zip(languages.profiles, clusters, present, strict=True):
        lacking = there & (here < 0) & (here >= 0).any()
        compared = languages.task.parallel and not languages.believed(code)
        other = there & ~lacking & (here != usual) & compared
        for items, what in (
            (lacking, "no cluster; the others have one"),
            (other, "another cluster than in the other languages"),
        ):
            if items.any():
                yield Fault(
                    f"{counted(int(items.sum()), 'have')} {what}",
                    [ids[i] for i in np.flatnonzero(items)],
                    code,
                    suggestion="give every row its cluster, or none, the same in every language",
                )


def _most_frequent(languages: LanguageProfiles, values: NDArray[np.int32]) -> NDArray[np.int32]:
    """[languages, items] → [items]: the value of most of the languages that have the item; with two languages the
    reference's."""
    present = languages.present()
    if languages.believed(languages.reference):
        reference = languages.codes.index(languages.reference)
        return np.asarray(np.where(present[reference], values[reference], values.max(axis=0)))
    votes = np.stack(
        [((values == own) & present & there).sum(axis=0) for own, there in zip(values, present, strict=True)]
    )
    return np.asarray(np.take_along_axis(values, votes.argmax(axis=0)[None], axis=0)[0])
