from __future__ import annotations

import numpy as np
import pytest

from spillover.stages.audit.answer_indices import NO_INDEX, may_count_from_one, surely_counts_from_one
from spillover.stages.audit.repaired_copy import write_repaired_copy
from spillover.tasks.benchmark import open_benchmark
from tests.stages.audit.builders import audit_folder, choice_folder


def from_one(rows):
    return [row | {"label": row["label"] + 1} for row in rows]


@pytest.mark.parametrize(
    ("indices", "counts", "may"),
    [
        ([1, 2, 2], [2, 2, 2], True),
        ([1, 2, NO_INDEX], [2, 2, 2], True),
        ([0, 1, 2], [2, 2, 2], False),
        ([1, 1, 1], [2, 2, 2], False),
        ([1, 3, 2], [2, 2, 2], False),
        ([], [], False),
    ],
    ids=["from 1", "without a label", "one is the first", "none is beyond", "two beyond", "empty"],
)
def test_indices_that_may_count_from_one(indices, counts, may):
    assert may_count_from_one(np.array(indices), np.array(counts)) == may


def test_a_few_items_are_no_proof():
    assert not surely_counts_from_one(np.array([1, 2, 2]), np.full(3, 2))
    assert surely_counts_from_one(np.array([1, 2] * 10), np.full(20, 2))


@pytest.mark.parametrize(("task", "n_choices"), [("copa", 2), ("reading", 4)])
def test_indices_from_one_are_one_finding_and_repaired(tmp_path, task, n_choices):
    folder = choice_folder(tmp_path / "data", task, n_choices, {"de": from_one})
    findings = [f for f in audit_folder(folder, task) if f.severity != "note" and f.check != "oracle-ceiling"]
    (finding,) = findings
    assert (finding.check, finding.language, finding.ceiling, len(finding.example_ids)) == (
        "shifted-answers", "de", 0.0, 24,
    )  # fmt: skip
    repairs = write_repaired_copy(findings, [open_benchmark(task, data=str(folder))], tmp_path / "fixed")
    assert len(repairs) == 24
    assert [f for f in audit_folder(tmp_path / "fixed", task) if f.severity != "note"] == []


def test_a_language_alone_is_seen_too(tmp_path):
    folder = choice_folder(tmp_path, "copa", 2, {"en": from_one}, languages=["en"])
    (finding,) = [f for f in audit_folder(folder, "copa") if f.check == "shifted-answers"]
    assert "12 are beyond the last answer" in finding.message


def test_exchanged_labels_of_two_answers_are_no_shift(tmp_path):
    flipped = lambda rows: [row | {"label": 1 - row["label"]} for row in rows]  # noqa: E731
    checks = {f.check for f in audit_folder(choice_folder(tmp_path, "copa", 2, {"de": flipped}), "copa")}
    assert "shifted-answers" not in checks
    assert "label-permutation" in checks
