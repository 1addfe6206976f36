from __future__ import annotations

import time

import numpy as np

from spillover.core.config import AuditThresholds
from spillover.stages.audit.label_checks import unknown_labels
from spillover.stages.audit.profile import LanguageProfiles, Profile
from spillover.tasks.wording import load_task
from tests.builders import small_data
from tests.stages.audit.builders import audit_folder, change, findings_by_check


def test_with_two_languages_the_reference_is_believed(tmp_path):
    folder = small_data(tmp_path, ("en", "de"), items=10)
    change(folder, "de", lambda rows: [rows[0] | {"label": "negative"}, *rows[1:]])
    assert findings_by_check(folder, "de")["label-disagrees"].evidence["consensus"] == {"item-0": "positive"}
    assert not findings_by_check(folder, "en")


def test_an_unknown_word_is_explained_by_the_other_languages(tmp_path):
    folder = small_data(tmp_path, ("en", "de", "es", "fr"), items=20)
    words = {"positive": "gut", "negative": "negative"}
    change(folder, "de", lambda rows: [row | {"label": words[row["label"]]} for row in rows])
    assert findings_by_check(folder, "de")["unknown-label"].evidence["mapping"] == {"gut": "positive"}


def test_items_without_a_label_are_errors(tmp_path):
    folder = small_data(tmp_path)
    change(
        folder,
        "de",
        lambda rows: [{k: v for k, v in row.items() if k != "label"} if i < 2 else row for i, row in enumerate(rows)],
    )
    assert findings_by_check(folder, "de")["missing-label"].example_ids == ("item-0", "item-1")


def test_shares_of_classes_are_compared(tmp_path):
    folder = small_data(tmp_path, ("en", "de", "es", "fr"), items=20)
    change(folder, "de", lambda rows: [row for row in rows if row["label"] == "positive"])
    assert "positive 100 %" in findings_by_check(folder, "de")["class-balance"].message
    for code in ("en", "de", "es", "fr"):
        change(folder, code, lambda rows: [row | {"label": "positive"} for row in rows])
    notes = [f for f in audit_folder(folder) if f.check == "class-balance"]
    assert [(f.severity, f.language) for f in notes] == [("note", "")]


def test_a_column_of_free_text_taken_for_labels_is_read_in_time():
    """More words than an int16 counts; looking for the rows of each word anew would take minutes."""
    n = 40_000
    languages = LanguageProfiles(load_task("sentiment"), AuditThresholds(), "en")
    numbers = np.arange(n, dtype=np.int32)
    for code in ("en", "de", "es", "fr"):
        words = [languages.words.setdefault(f"text {i}", len(languages.words)) for i in range(n)] if code == "de" else 0
        languages.profiles[code] = blank(code, numbers, np.array(words, dtype=np.int32) + 0 * numbers)
    languages.ids.update((str(i), i) for i in range(n))
    start = time.process_time()
    (fault,) = unknown_labels(languages)
    assert time.process_time() - start < 10
    assert len(fault.evidence["words"]) == n
    assert len(fault.message) < 400


def blank(code, items, words):
    """A profile of nothing but items and labels."""
    n, empty = len(items), np.zeros(0, dtype=np.int32)
    shape = np.zeros((n, 1, 5), dtype=np.float32)
    flags, letters = np.zeros((n, 1), dtype=np.bool_), np.zeros((n, 1), dtype=np.int32)
    return Profile(
        code, items, words, shape, flags, letters, flags,
        empty.astype(np.uint32), empty, empty.astype(np.bool_), np.zeros(n, dtype=np.uint64),
        flags, letters.astype(np.uint8), empty.astype(np.uint32), empty, empty.astype(np.int8),
    )  # fmt: skip
