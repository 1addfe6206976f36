"""Do the indices of right answers count from 0?"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from spillover.stages.audit.inputs import Fault, computed_once
from spillover.stages.audit.label_consensus import NO_CONSENSUS, Labels, consensus
from spillover.stages.audit.profile import LanguageProfiles
from spillover.stages.audit.row_repairs import RenameLabels

# Of the items, the share whose index less one must be the other languages', and how many items.
LEAST_AGREEMENT, LEAST_ROWS = 0.95, 5
LEAST_CHANCE = 0.01  # of right answers none of which is the first
NO_INDEX = -1


def may_count_from_one(indices: NDArray[np.integer], counts: NDArray[np.integer]) -> bool:
    """Whether no index is 0, some are one beyond the last answer, and none is further. indices: [n], `NO_INDEX` for
    none. counts: [n] answers of each item."""
    given = indices != NO_INDEX
    indices, counts = indices[given], counts[given]
    return bool(len(indices) and indices.min() > 0 and (indices <= counts).all() and (indices == counts).any())


def surely_counts_from_one(indices: NDArray[np.integer], counts: NDArray[np.integer]) -> bool:
    """The same where it is no chance either that the first answer is never right."""
    chance = np.prod(1 - 1 / np.maximum(counts[indices != NO_INDEX], 1))
    return bool(chance < LEAST_CHANCE) and may_count_from_one(indices, counts)


def answer_indices(languages: LanguageProfiles) -> Labels:
    """[languages, items] index of the right answer as the data has it, `NO_INDEX` where that is no number."""
    numbers = [int(word) if word.isdecimal() else NO_INDEX for word in languages.words]
    return np.array([*numbers, NO_INDEX], dtype=np.int32)[languages.labels()]


@computed_once
def shifted_languages(languages: LanguageProfiles) -> frozenset[str]:
    """The languages whose indices count from 1; none where items bring no answers."""
    if languages.task.kind == "labels":
        return frozenset()
    indices, counts = answer_indices(languages), languages.n_choices()
    sure = [surely_counts_from_one(*pair) for pair in zip(indices, counts, strict=True)]
    agreed = np.full(indices.shape, NO_CONSENSUS)
    if languages.task.parallel and languages.slots:
        corrected = np.where(np.array(sure)[:, None] & (indices > 0), indices - 1, indices)
        agreed = consensus(corrected, languages.slots, languages.thresholds.consensus)[0]
    return frozenset(
        code
        for number, code in enumerate(languages.profiles)
        if sure[number]
        or (
            may_count_from_one(indices[number], counts[number])
            and _agrees(indices[number] - 1, agreed[number])
            and not languages.believed(code)
        )
    )


def _agrees(indices: Labels, agreed: Labels) -> bool:
    known = (indices >= 0) & (agreed != NO_CONSENSUS)
    return bool(known.sum() >= LEAST_ROWS and (indices == agreed)[known].mean() >= LEAST_AGREEMENT)


@computed_once
def indices_from_zero(languages: LanguageProfiles) -> Labels:
    """[languages, items] index of the right answer, counted from 0 in every language; `NO_INDEX` where there is none
    among the item's answers."""
    indices, shifted = answer_indices(languages), shifted_languages(languages)
    for number, code in enumerate(languages.profiles):
        indices[number] -= (code in shifted) & (indices[number] > 0)
    return np.where(indices < languages.n_choices(), indices, NO_INDEX).astype(np.int32)


def shifted_answers(languages: LanguageProfiles) -> Iterator[Fault]:
    """Indices of right answers that count from 1: each names the answer after the right one, and a perfect model is
    never right.

    Sees it where no index is 0 and some are one beyond the last answer, if the other languages' indices less one agree
    or there are too many items for chance. Cannot see it in a file whose last answers are never right.
    """
    ids, indices, counts = languages.item_ids(), answer_indices(languages), languages.n_choices()
    for code in languages.codes:
        if code not in shifted_languages(languages):
            continue
        number = languages.codes.index(code)
        rows = np.flatnonzero(indices[number] != NO_INDEX)
        beyond = int((indices[number] == counts[number])[rows].sum())
        yield Fault(
            f"indices of the right answers count from 1: none is 0, {beyond} are beyond the last answer; a perfect "
            "model scores 0 %",
            [ids[i] for i in rows],
            code,
            evidence={"beyond the last": beyond},
            ceiling=0.0,
            suggestion="`--fix` counts them from 0",
            repair=RenameLabels({str(i + 1): str(i) for i in range(int(counts[number].max()))}),
        )
