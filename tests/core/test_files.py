from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spillover.core.errors import DataError
from spillover.core.files import (
    atomic,
    atomic_folder,
    hash_of,
    read_json,
    read_jsonl,
    read_text,
    read_yaml,
    write_json,
    write_jsonl,
)


def test_atomic_leaves_nothing_behind_when_it_fails(tmp_path):
    path = tmp_path / "table"
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt), atomic(path) as partial:
        partial.write_text("half")
        raise KeyboardInterrupt
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_atomic_folder_is_whole_or_absent(tmp_path):
    with pytest.raises(ValueError), atomic_folder(tmp_path / "weights") as partial:
        (partial / "a").write_text("half")
        raise ValueError
    assert list(tmp_path.iterdir()) == []
    with atomic_folder(tmp_path / "weights") as partial:
        (partial / "a").write_text("whole")
    assert (tmp_path / "weights" / "a").read_text() == "whole"


@given(st.lists(st.dictionaries(st.text(min_size=1), st.text()), min_size=1, max_size=5))
def test_json_lines_read_back_equal(tmp_path_factory, rows):
    path = tmp_path_factory.getbasetemp() / "rows.jsonl"
    write_jsonl(path, rows)
    assert [row for _, row in read_jsonl(path)] == rows


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "empty"),
        ('{"a": 1}\n{"a": \n', ":2: broken JSON"),
        ("[1]\n", ":1: expected an object"),
        ('{"a": 1}\n' + "[" * 100_000, ":2: broken JSON: nested too deep"),
        ('{"a": 1}\n{"a": ' + "1" * 5000 + "}", ":2: broken JSON: .*4300 digits"),
    ],
)
def test_a_broken_line_is_named(tmp_path, text, message):
    path = tmp_path / "rows.jsonl"
    path.write_text(text)
    with pytest.raises(DataError, match=message):
        list(read_jsonl(path))


@pytest.mark.parametrize(
    ("text", "message"), [('{"a":\n1,', ":2: broken JSON"), ("[" * 100_000, ": broken JSON: nested too deep")]
)
def test_broken_json_is_named(tmp_path, text, message):
    path = tmp_path / "value.json"
    path.write_text(text)
    with pytest.raises(DataError, match=rf"value\.json{message}"):
        read_json(path)


def test_text_that_is_not_utf8_is_named_by_line(tmp_path):
    path = tmp_path / "latin.txt"
    path.write_bytes(b"fine\ncaf\xe9\n")
    with pytest.raises(DataError, match=r"latin\.txt:2: not UTF-8 text \(byte 0xE9\)"):
        read_text(path)


def test_nan_becomes_null(tmp_path):
    write_json(tmp_path / "value.json", {"a": float("nan"), "b": [float("nan"), 1.5]})
    assert read_json(tmp_path / "value.json") == {"a": None, "b": [None, 1.5]}


def test_hash_ignores_the_order_of_keys():
    assert hash_of({"a": 1, "b": 2}) == hash_of({"b": 2, "a": 1}) != hash_of({"a": 1, "b": 3})


def test_many_rows_are_read_one_at_a_time(tmp_path):
    path = tmp_path / "big.jsonl"
    with path.open("w") as file:
        file.writelines(f'{{"id":"{i}"}}\n' for i in range(100_000))
    tracemalloc.start()
    assert sum(1 for _ in read_jsonl(path)) == 100_000
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 19
    assert path.stat().st_size > 2 * peak, "not even the text of the file was in memory"


def test_a_character_that_yaml_forbids_is_named_in_one_line(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text("name: a\x00b\n")
    with pytest.raises(DataError, match=r"config\.yaml: broken YAML: unacceptable character") as caught:
        read_yaml(path)
    assert "\n" not in caught.value.message
