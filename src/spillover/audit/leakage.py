"""Test items that the model is shown on the way: shots, training questions and other splits that are test items.

Exact: every field equal after normalisation, in any language. Near: every field shares at least `near_duplicate` of its
character 4-grams with the test item's, in the same language.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from spillover.audit.sheet import Languages, Sheet, item_hash
from spillover.core.types import Example, Finding
from spillover.tasks.overlap import near_index, overlapping

HINT = "`spillover build --overlap drop` leaves out the exact ones; take the others out of the file"


def shots_in_test(sheet: Sheet) -> Iterator[Finding]:
    """Few-shot examples that are test items, exactly or nearly. Cannot see one that is told in other words."""
    wording = sheet.task.wordings.get(sheet.language)
    if wording is None:
        return
    shots = [Example(shot, sheet.language, fields) for shot, fields in wording.shots.items()]
    found = dict(overlapping(shots, sheet.rows))
    others = [shot for shot in shots if shot.id not in found]
    near = near_index(sheet.rows).near(others, sheet.config.near_duplicate)
    for check, severity, pairs, how in (
        ("shot-in-test", "error", found, "are"), ("shot-near-test", "warning", near, "are nearly"),
    ):  # fmt: skip
        if pairs:
            names = ", ".join(f"{shot} = {item}" for shot, item in pairs.items())
            yield sheet.finding(
                check, severity, f"few-shot examples {how} test items: {names}", list(pairs.values()),
                mend="choose other shots, in every language",
            )  # fmt: skip


def leaked_questions(
    languages: Languages, split: str, rows: Mapping[str, Sequence[Example]], tests: Mapping[str, Sequence[Example]]
) -> Iterator[Finding]:
    """Rows of another split (training questions, which are either side of a translation pair) that are test items.

    Sees equal items across all languages, and nearly equal ones within a language. Cannot see a paraphrase, nor a near
    copy that was translated into another language, unless its own language's test file is there.
    """
    keys = {code: found.keys for code, found in languages.profiles.items()}
    known = np.unique(np.concatenate(list(keys.values()))) if keys else np.empty(0, dtype=np.uint64)
    for code, questions in rows.items():
        hashes = np.array([item_hash(row) for row in questions], dtype=np.uint64)
        exact = np.isin(hashes, known)
        where = {questions[i].id: _where(languages, hashes[i]) for i in np.flatnonzero(exact).tolist()}
        if where:
            yield languages.finding(
                "leaked-question", "error", code, f"{len(where)} rows of {split} are test items: {_told(where)}",
                list(where), split=split, evidence={"test items": where}, mend=HINT,
            )  # fmt: skip
        others = [row for row, same in zip(questions, exact, strict=True) if not same]
        near = near_index(tests.get(code, ())).near(others, languages.config.near_duplicate)
        if near:
            yield languages.finding(
                "near-leak", "warning", code, f"{len(near)} rows of {split} are nearly test items: {_told(near)}",
                list(near), split=split, evidence={"test items": near}, certainty="likely", mend=HINT,
            )  # fmt: skip


def _where(languages: Languages, key: np.uint64) -> str:
    """`language id` of the first test item with this hash."""
    for code, found in languages.profiles.items():
        rows = np.flatnonzero(found.keys == key)
        if len(rows):
            return f"{code} {languages.names()[found.items[rows[0]]]}"
    raise AssertionError("asked for a hash that no test item has")


def _told(pairs: Mapping[str, str]) -> str:
    shown = [f"{row} = {item}" for row, item in list(pairs.items())[:3]]
    return ", ".join(shown) + (", ..." if len(pairs) > 3 else "")


def unknown_training_labels(sheet: Sheet) -> Iterator[Finding]:
    """Labels of another split that the task does not have. Rows without a label are questions, and fine."""
    bad = [row for row in sheet.rows if row.label is not None and row.label not in sheet.task.labels]
    if bad:
        words = sorted({str(row.label) for row in bad})
        yield sheet.finding(
            "unknown-label", "error",
            f"{len(bad)} rows of {sheet.split} have a label that the test set does not: {', '.join(words[:5])}",
            [row.id for row in bad], evidence={"words": words, "mapping": dict.fromkeys(words)},
            mend=f"use {', '.join(sheet.task.labels)}",
        )  # fmt: skip
