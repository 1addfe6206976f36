from __future__ import annotations

import pytest

from spillover.core.errors import DataError
from spillover.stages.translate.batches import TranslatedRow, append_batch, read_batches

ROWS = [
    TranslatedRow("a", {"review": "eins ü\u2028"}),
    TranslatedRow("b", {"review": ""}, True, "review: empty: nothing"),
]


def test_batches_come_back_as_they_were(tmp_path):
    path = tmp_path / "de.jsonl"
    assert read_batches(path, ["a", "b"]) == []
    append_batch(path, ROWS[:1])
    append_batch(path, ROWS[1:])
    assert read_batches(path, ["a", "b", "c"]) == ROWS


def test_half_a_line_is_no_batch_and_the_next_takes_its_place(tmp_path):
    path = tmp_path / "de.jsonl"
    append_batch(path, ROWS[:1])
    whole = path.read_bytes()
    path.write_bytes(whole + '[{"id": "ü'.encode()[:-1])
    assert read_batches(path, ["a", "b"]) == ROWS[:1]
    append_batch(path, ROWS[1:])
    assert read_batches(path, ["a", "b"]) == ROWS


@pytest.mark.parametrize("text", ["[{]\n", '[{"name": 1}]\n', "[3]\n", '["id"]\n', "3\n"])
def test_a_damaged_file_is_named(tmp_path, text):
    path = tmp_path / "de.jsonl"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=str(path)):
        read_batches(path, ["a"])


def test_batches_of_other_questions_are_refused(tmp_path):
    append_batch(tmp_path / "de.jsonl", ROWS)
    with pytest.raises(DataError, match="not the rows of these questions"):
        read_batches(tmp_path / "de.jsonl", ["a", "c"])
