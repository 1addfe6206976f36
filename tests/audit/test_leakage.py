from __future__ import annotations

import json

from spillover.audit.checks import audit
from tests.conftest import small_data, write_rows

LONG = "the old bridge over the river was closed for the whole winter because of ice number"


def leaks(folder, code, text):
    path = folder / "sentiment" / "train" / f"{code}.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    write_rows(path, [*rows, {"id": "leak", "review": text}])
    return {(f.check, f.language, f.example_ids) for f in audit("sentiment", data=str(folder)) if f.split == "train"}


def test_training_rows_that_are_test_items_even_of_another_language(tmp_path):
    folder = small_data(tmp_path)
    assert leaks(folder, "de", "REVIEW 3 in es!") == {("leaked-question", "de", ("leak",))}


def test_nearly_the_same_is_a_warning(tmp_path):
    folder = small_data(tmp_path)
    path = folder / "sentiment" / "test" / "de.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    write_rows(path, [row | {"review": f"{LONG} {i}"} for i, row in enumerate(rows)])
    assert leaks(folder, "de", f"{LONG} 77") == {("near-leak", "de", ("leak",))}


def test_labels_of_a_training_file_are_checked(tmp_path):
    folder = small_data(tmp_path)
    write_rows(
        folder / "sentiment" / "train" / "de.jsonl",
        [{"id": "a", "review": "x y z", "label": "yes"}, {"id": "b", "review": "z y x"}],
    )
    (finding,) = [f for f in audit("sentiment", data=str(folder)) if f.split == "train"]
    assert (finding.check, finding.severity, finding.example_ids) == ("unknown-label", "error", ("a",))
