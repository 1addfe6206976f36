"""Do the labels mean what they say? Compared with the same items in the other languages.

1. What the other languages agree on is the consensus of an item; labels that the task does not have do not vote.
2. The assignment of a language's labels to the consensus that agrees best (Hungarian) says which are exchanged.
3. What is left over are single wrong rows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from spillover.stages.audit.choice_order import answer_labels, order_odds
from spillover.stages.audit.inputs import Fault, computed_once
from spillover.stages.audit.label_consensus import NO_CONSENSUS, Labels, consensus
from spillover.stages.audit.messages import counted, preview
from spillover.stages.audit.parallelism import shifted_item_numbers
from spillover.stages.audit.profile import LanguageProfiles
from spillover.stages.audit.row_repairs import RenameLabels, SetLabels

# Of an unknown word's rows, the share that must have one consensus, and how many rows, for its meaning to be certain.
LEAST_AGREEMENT, LEAST_ROWS = 0.95, 5


@computed_once
def _consensus_of_given_labels(languages: LanguageProfiles) -> Labels:
    return consensus(answer_labels(languages), len(languages.task.labels), languages.thresholds.consensus)[0]


def unknown_labels(languages: LanguageProfiles) -> Iterator[Fault]:
    """Label words that the task does not have: a perfect model can never be right on them.

    With parallel languages it says what each word must mean. Cannot see a word that is the task's but means another
    class: that is `label-permutation`.
    """
    ids, words = languages.item_ids(), list(languages.words)
    labels, n = answer_labels(languages), len(languages.task.labels)
    agreed, present = _consensus_of_given_labels(languages), languages.present()
    for number, code in enumerate(languages.profiles):
        unknown = np.flatnonzero(labels[number] >= n)
        if not len(unknown):
            continue
        meanings = {
            words[word]: _meaning(languages, agreed[number, rows]) for word, rows in _by_word(labels[number], unknown)
        }
        certain = {word: label for word, label in meanings.items() if label}
        ceiling = 1 - len(unknown) / int(present[number].sum())
        by_others = "; by the other languages " + preview(f"{word} is {label}" for word, label in certain.items())
        yield Fault(
            f"{counted(len(unknown), 'have')} a label that the task does not: {preview(sorted(meanings))}"
            f"{by_others if certain else ''}; a perfect model scores {100 * ceiling:.0f} %",
            [ids[i] for i in unknown],
            code,
            evidence={"words": sorted(meanings), "mapping": certain},
            ceiling=ceiling,
            suggestion="`--fix` renames them" if certain else f"use {', '.join(languages.task.labels)}",
            repair=RenameLabels(certain) if certain else None,
        )


def missing_labels(languages: LanguageProfiles) -> Iterator[Fault]:
    """Rows without a label: a perfect model can never be right on them. Cannot see a label that is only a guess."""
    ids, labels, present = languages.item_ids(), languages.labels(), languages.present()
    for number, code in enumerate(languages.profiles):
        bare = np.flatnonzero(present[number] & (labels[number] < 0))
        if len(bare):
            yield Fault(
                f"{counted(len(bare), 'have')} no label",
                [ids[i] for i in bare],
                code,
                ceiling=1 - len(bare) / int(present[number].sum()),
                suggestion="label them, or leave them out",
            )


def _by_word(labels: Labels, rows: NDArray[np.int64]) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """(label word's number, its rows). One sort: a column of free text taken for labels has a word for every row."""
    ordered = rows[np.argsort(labels[rows], kind="stable")]
    for same_word in np.split(ordered, np.flatnonzero(np.diff(labels[ordered])) + 1):
        yield int(labels[same_word[0]]), same_word


def _meaning(languages: LanguageProfiles, agreed: Labels) -> str | None:
    """The label that the other languages give a word's rows, where there are enough and they agree."""
    known = agreed[agreed != NO_CONSENSUS]
    if len(known) < LEAST_ROWS:
        return None
    counts = np.bincount(known, minlength=len(languages.task.labels))
    return languages.task.labels[counts.argmax()] if counts.max() >= LEAST_AGREEMENT * len(known) else None


@dataclass(frozen=True)
class Permutation:
    """Classes that are exchanged in a language. meanings: label → what it means. before, after: share of the labels
    that agree with the other languages as they are, and with the meanings. wrong: items whose labels differ."""

    language: str
    meanings: dict[str, str]
    before: float
    after: float
    wrong: NDArray[np.int64]


def exchanged_labels(languages: LanguageProfiles) -> Iterator[Fault]:
    """Classes that are exchanged in one language, from the assignment that agrees best with the other languages.

    Sees any permutation that gains at least `label_gain` of the items. Passes over what `shifted-answers` and
    `choice-order` explain. Cannot see one that half of the languages share,
    or with one language alone; with two, the reference language is believed.
    """
    ids, odds = languages.item_ids(), order_odds(languages)
    for permutation in _permutations(languages):
        listed = ", ".join(f"{given} is {meant}" for given, meant in permutation.meanings.items())
        reordered = float((odds[languages.codes.index(permutation.language), permutation.wrong] > 0).mean())
        certain = permutation.after >= LEAST_AGREEMENT and reordered <= 1 - LEAST_AGREEMENT
        before, after = f"{100 * permutation.before:.1f} %", f"{100 * permutation.after:.1f} %"
        yield Fault(
            f"classes are exchanged ({listed}): {before} of the labels agree with the other languages, {after} when "
            f"corrected; a perfect model scores {100 * permutation.before:.0f} %",
            [ids[i] for i in permutation.wrong],
            permutation.language,
            evidence={
                "mapping": permutation.meanings,
                "agree": round(permutation.before, 4),
                "agree when put right": round(permutation.after, 4),
            },
            ceiling=permutation.before,
            certainty="certain" if certain else "likely",
            suggestion="`--fix` corrects them" if certain else "compare the rows with the reference language",
            repair=RenameLabels(permutation.meanings) if certain else None,
        )


@computed_once
def _permutations(languages: LanguageProfiles) -> list[Permutation]:
    """The languages in which another assignment of the labels fits better."""
    labels, n, words = answer_labels(languages), len(languages.task.labels), languages.task.labels
    agreed = _consensus_of_given_labels(languages)
    permutations = []
    for number, code in enumerate(languages.profiles):
        judged = (labels[number] >= 0) & (labels[number] < n) & (agreed[number] != NO_CONSENSUS)
        pairs = labels[number][judged].astype(np.int64) * n + agreed[number][judged]
        counts = np.bincount(pairs, minlength=n * n).reshape(n, n)
        if not counts.sum() or languages.believed(code):
            continue
        assigned = linear_sum_assignment(counts, maximize=True)[1]
        before, after = np.trace(counts) / counts.sum(), counts[np.arange(n), assigned].sum() / counts.sum()
        if after - before >= languages.thresholds.label_gain:
            meanings = {words[i]: words[j] for i, j in enumerate(assigned) if i != j and counts[i].any()}
            wrong = np.flatnonzero(judged & (labels[number] != agreed[number]))
            permutations.append(Permutation(code, meanings, float(before), float(after), wrong))
    return permutations


def disagreeing_labels(languages: LanguageProfiles) -> Iterator[Fault]:
    """Single rows whose label differs from what the other languages agree on.

    Sees a row wherever at least `consensus` of the other languages agree, after exchanged classes are corrected. Passes
    over what `shifted-items`, `shifted-answers` and `choice-order` explain. Cannot see a label that is wrong in most of
    the languages.
    """
    ids, words, n = languages.item_ids(), languages.task.labels, len(languages.task.labels)
    in_order = order_odds(languages) <= -np.log(languages.thresholds.exchange_odds)
    labels, present = _corrected_labels(languages), languages.present()
    agreed, unanimous = consensus(labels, n, languages.thresholds.consensus)
    shifted = shifted_item_numbers(languages)
    for number, code in enumerate(languages.profiles):
        if languages.believed(code):
            continue
        given, meant = labels[number], agreed[number]
        differs = (given >= 0) & (given < n) & (meant != NO_CONSENSUS) & (given != meant)
        wrong = [i for i in np.flatnonzero(differs).tolist() if i not in shifted.get(code, ())]
        if not wrong:
            continue
        ceiling = 1 - len(wrong) / int(present[number].sum())
        right = {ids[i]: words[meant[i]] for i in wrong}
        surely_wrong = unanimous[number] & in_order[number]
        certain = {ids[i]: words[meant[i]] for i in wrong if surely_wrong[i]}
        kinds = Counter(f"{words[given[i]]} for {words[meant[i]]}" for i in wrong)
        yield Fault(
            f"{counted(len(wrong), 'differ', 'label')} from the other languages' "
            f"({', '.join(f'{times} x {kind}' for kind, times in kinds.items())}); "
            f"a perfect model scores {100 * ceiling:.1f} %",
            [ids[i] for i in wrong],
            code,
            evidence={"consensus": right, "unanimous": list(certain)},
            ceiling=ceiling,
            certainty="certain" if len(certain) == len(wrong) else "likely",
            suggestion="`--fix` takes the other languages' label where all agree" if certain else "read the rows",
            repair=SetLabels(certain) if certain else None,
        )


def _corrected_labels(languages: LanguageProfiles) -> Labels:
    """[languages, items] labels with exchanged classes corrected."""
    given, words = answer_labels(languages), languages.task.labels
    corrected = given.copy()
    for permutation in _permutations(languages):
        number = languages.codes.index(permutation.language)
        for label, meaning in permutation.meanings.items():
            corrected[number][given[number] == words.index(label)] = words.index(meaning)
    return corrected


def class_balance(languages: LanguageProfiles) -> Iterator[Fault]:
    """Shares of the classes by language, against their median over the languages (the reference's, with two), and a
    class that is too large in all.

    Sees shares that differ by more than `balance`; then accuracies of two languages are not the same measure. Cannot
    see exchanged classes of equal size.
    """
    labels, words, limit = languages.labels(), languages.task.labels, languages.thresholds.balance
    counts = np.stack([np.bincount(row[(row >= 0) & (row < len(words))], minlength=len(words)) for row in labels])
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    usual = np.median(shares, axis=0)
    if languages.believed(languages.reference) and languages.reference in languages.codes:
        usual = shares[languages.codes.index(languages.reference)]
    for code, language_shares in zip(languages.profiles, shares, strict=True):
        if np.abs(language_shares - usual).max() > limit:
            listed = ", ".join(
                f"{label} {100 * here:.0f} % against {100 * there:.0f} %"
                for label, here, there in zip(words, language_shares, usual, strict=True)
            )
            yield Fault(
                f"classes have other shares than in the other languages: {listed}",
                language=code,
                evidence={"shares": dict(zip(words, language_shares.round(4).tolist(), strict=True))},
                suggestion="find the missing items or the wrong labels",
            )
    if usual.max() > 1 / len(words) + limit and usual.sum() > 0:
        yield Fault(
            f"{words[int(usual.argmax())]} is {100 * usual.max():.0f} % of the items, which always answering it scores",
            severity="note",
            evidence={"shares": dict(zip(words, usual.round(4).tolist(), strict=True))},
            suggestion="read macro-F1 and AUROC beside accuracy",
        )
