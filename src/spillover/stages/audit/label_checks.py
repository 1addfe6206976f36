"""Do the labels mean what they say? Compared with the same items in the other languages.

1. What the other languages agree on is the consensus of an item; labels that the task does not have do not vote.
2. The assignment of a language's labels to the consensus that agrees best (Hungarian) says which are exchanged.
3. What is left over are single wrong rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from spillover.core.types import Finding
from spillover.stages.audit.profile import Languages, counted, told

UNSETTLED = -1
Labels = NDArray[np.int32]
# Of an unknown word's rows, the share that must have one consensus, and how many rows, to be sure what it means.
PURE, ENOUGH = 0.95, 5


def consensus(labels: Labels, n_labels: int, share: float) -> tuple[Labels, NDArray[np.bool_]]:
    """For each language what the others say: [languages, items] label numbers, `UNSETTLED` where less than `share` of
    them agree; and whether at least three others say it and none says else."""
    votes = np.stack([(labels == label).sum(axis=0) for label in range(n_labels)])
    settled = np.full(labels.shape, UNSETTLED, dtype=np.int32)
    unanimous = np.zeros(labels.shape, dtype=np.bool_)
    for number, own in enumerate(labels):
        others = votes - (np.arange(n_labels)[:, None] == own)
        top, total = others.max(axis=0), others.sum(axis=0)
        agreed = (total > 0) & (top >= share * total - 1e-9)
        settled[number] = np.where(agreed, others.argmax(axis=0), UNSETTLED)
        unanimous[number] = agreed & (top == total) & (total >= 3)
    return settled, unanimous


def unknown_labels(languages: Languages) -> Iterator[Finding]:
    """Label words that the task does not have, and rows without any: a perfect model can never be right on them.

    With parallel languages it says what each word must mean. Cannot see a word that is the task's but means another
    class: that is `label-permutation`.
    """
    names, words = languages.names(), list(languages.words)
    labels, n = languages.labels(), len(languages.task.labels)
    settled, _ = consensus(labels, n, languages.config.consensus)
    present = languages.present()
    for number, code in enumerate(languages.profiles):
        bad = np.flatnonzero(labels[number] >= n)
        items = int(present[number].sum())
        if len(bad):
            grouped = _by_word(labels[number], bad)
            mapping = {words[word]: _meaning(languages, settled[number, rows]) for word, rows in grouped}
            sure = {word: label for word, label in mapping.items() if label}
            ceiling = 1 - len(bad) / items
            means = f"; by the other languages {told(f'{word} is {m}' for word, m in sure.items())}" if sure else ""
            yield languages.finding(
                "unknown-label", "error", code,
                f"{counted(len(bad), 'have')} a label that the task does not: {told(sorted(mapping))}{means}; "
                f"a perfect model scores {100 * ceiling:.0f} %",
                [names[i] for i in bad], ceiling=ceiling, evidence={"words": sorted(mapping), "mapping": sure},
                certainty="certain", mend="`--fix` renames them" if sure else f"use {', '.join(languages.task.labels)}",
            )  # fmt: skip
        bare = np.flatnonzero(present[number] & (labels[number] < 0))
        if len(bare):
            yield languages.finding(
                "missing-label", "error", code, f"{counted(len(bare), 'have')} no label", [names[i] for i in bare],
                ceiling=1 - len(bare) / items, mend="label them, or take them out",
            )  # fmt: skip


def _by_word(labels: Labels, rows: NDArray[np.int64]) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """(label word's number, its rows). One sort: a column of free text taken for labels has a word for every row."""
    ordered = rows[np.argsort(labels[rows], kind="stable")]
    for own in np.split(ordered, np.flatnonzero(np.diff(labels[ordered])) + 1):
        yield int(labels[own[0]]), own


def _meaning(languages: Languages, settled: Labels) -> str | None:
    """What the other languages say that a word's rows are, where there are enough and they agree."""
    said = settled[settled != UNSETTLED]
    if len(said) < ENOUGH:
        return None
    counts = np.bincount(said, minlength=len(languages.task.labels))
    return languages.task.labels[counts.argmax()] if counts.max() >= PURE * len(said) else None


def exchanged_labels(languages: Languages) -> Iterator[Finding]:
    """Classes that are exchanged in one language, from the assignment that agrees best with the other languages.

    Sees any permutation that gains at least `label_gain` of the items. Cannot see one that half of the languages share,
    or with one language alone; with two, the reference language is believed.
    """
    for code, mapping, before, after, wrong in _permutations(languages):
        names = languages.names()
        pairs = ", ".join(f"{given} is {meant}" for given, meant in mapping.items())
        yield languages.finding(
            "label-permutation", "error", code,
            f"classes are exchanged ({pairs}): {100 * before:.1f} % of the labels agree with the other languages, "
            f"{100 * after:.1f} % when put right; a perfect model scores {100 * before:.0f} %",
            [names[i] for i in wrong], ceiling=before, certainty="certain" if after >= PURE else "likely",
            evidence={"mapping": mapping, "agree": round(before, 4), "agree when put right": round(after, 4)},
            mend="`--fix` puts them right" if after >= PURE else "compare the rows with the reference language",
        )  # fmt: skip


def _permutations(languages: Languages) -> Iterator[tuple[str, dict[str, str], float, float, NDArray[np.int64]]]:
    """(language, label → what it means, agreement before and after, wrong items) where another fits better."""
    labels, n = languages.labels(), len(languages.task.labels)
    settled, _ = consensus(labels, n, languages.config.consensus)
    for number, code in enumerate(languages.profiles):
        table = _table(labels[number], settled[number], n)
        if not table.sum() or (len(languages.profiles) == 2 and code == languages.reference):
            continue
        meant = linear_sum_assignment(table, maximize=True)[1]
        before, after = np.trace(table) / table.sum(), table[np.arange(n), meant].sum() / table.sum()
        if after - before >= languages.config.label_gain:
            mapping = {languages.task.labels[i]: languages.task.labels[j] for i, j in enumerate(meant) if i != j}
            judged = (settled[number] != UNSETTLED) & (labels[number] >= 0) & (labels[number] < n)
            wrong = np.flatnonzero(judged & (labels[number] != settled[number]))
            yield code, mapping, float(before), float(after), wrong


def _table(given: Labels, settled: Labels, n: int) -> NDArray[np.int64]:
    """[given, consensus] counts over the items where both are known."""
    judged = (given >= 0) & (given < n) & (settled != UNSETTLED)
    pairs = given[judged].astype(np.int64) * n + settled[judged]
    return np.bincount(pairs, minlength=n * n).reshape(n, n)


def disagreeing_labels(languages: Languages, explained: dict[str, set[int]]) -> Iterator[Finding]:
    """Single rows whose label differs from what the other languages say of the item.

    Sees a row wherever at least `consensus` of the other languages agree. Cannot see a label that is wrong in most of
    them. explained: items by language that `shifted-items` accounts for.
    """
    names, words = languages.names(), languages.task.labels
    labels, n = languages.labels(), len(words)
    straight = labels.copy()
    for code, mapping, *_ in _permutations(languages):
        own = list(languages.profiles).index(code)
        for given, meant in mapping.items():
            straight[own][labels[own] == words.index(given)] = words.index(meant)
    settled, unanimous = consensus(straight, n, languages.config.consensus)
    present = languages.present()
    for number, code in enumerate(languages.profiles):
        if len(languages.profiles) == 2 and code == languages.reference:
            continue
        given = straight[number]
        known = (given >= 0) & (given < n) & (settled[number] != UNSETTLED)
        wrong = [
            i for i in np.flatnonzero(known & (given != settled[number])).tolist() if i not in explained.get(code, ())
        ]
        if not wrong:
            continue
        ceiling = 1 - len(wrong) / int(present[number].sum())
        sure = {names[i]: words[settled[number, i]] for i in wrong if unanimous[number, i]}
        yield languages.finding(
            "label-disagrees", "error", code,
            f"{counted(len(wrong), 'differ', 'label')} from the other languages' "
            f"({_pairs(given, settled[number], wrong, words)}); a perfect model scores {100 * ceiling:.1f} %",
            [names[i] for i in wrong], ceiling=ceiling, certainty="certain" if len(sure) == len(wrong) else "likely",
            evidence={"consensus": {names[i]: words[settled[number, i]] for i in wrong}, "unanimous": list(sure)},
            mend="`--fix` takes the other languages' label where all agree" if sure else "read the rows",
        )  # fmt: skip


def _pairs(given: NDArray[np.generic], settled: Labels, wrong: Sequence[int], words: Sequence[str]) -> str:
    counts: dict[str, int] = {}
    for i in wrong:
        key = f"{words[int(given[i])]} for {words[settled[i]]}"
        counts[key] = counts.get(key, 0) + 1
    return ", ".join(f"{n} x {key}" for key, n in counts.items())


def class_balance(languages: Languages) -> Iterator[Finding]:
    """Shares of the classes by language, against their median over the languages (the reference's, with two), and a
    class that is too large in all.

    Sees shares that are off by more than `balance`; then accuracy of two languages is not the same measure. Cannot see
    exchanged classes of equal size.
    """
    labels, n = languages.labels(), len(languages.task.labels)
    counts = np.stack([[(own == label).sum() for label in range(n)] for own in labels]).astype(float)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    two = len(shares) == 2 and languages.reference in languages.profiles
    usual = shares[list(languages.profiles).index(languages.reference)] if two else np.median(shares, axis=0)
    for code, own in zip(languages.profiles, shares, strict=True):
        off = float(np.abs(own - usual).max())
        if off > languages.config.balance:
            text = ", ".join(
                f"{label} {100 * a:.0f} % against {100 * b:.0f} %"
                for label, a, b in zip(languages.task.labels, own, usual, strict=True)
            )
            yield languages.finding(
                "class-balance", "warning", code, f"classes have other shares than in the other languages: {text}", (),
                evidence={"shares": dict(zip(languages.task.labels, own.round(4).tolist(), strict=True))},
                mend="find the missing items or the wrong labels",
            )  # fmt: skip
    if usual.max() > 1 / n + languages.config.balance and usual.sum() > 0:
        label = languages.task.labels[int(usual.argmax())]
        yield languages.finding(
            "class-balance", "note", "", f"{label} is {100 * usual.max():.0f} % of the items, a score for nothing",
            (),
            evidence={"shares": dict(zip(languages.task.labels, usual.round(4).tolist(), strict=True))},
            mend="read macro-F1 and AUROC beside accuracy",
        )  # fmt: skip
