from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spillover.core.errors import DataError
from spillover.core.files import (
    append_line,
    atomic,
    atomic_folder,
    hash_of,
    read_json,
    read_jsonl,
    read_text,
    read_yaml,
    remove_folder,
    remove_partials,
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


def test_half_a_line_is_removed_before_the_next_one(tmp_path):
    path = tmp_path / "log.jsonl"
    append_line(path, '{"a": 1}')
    with path.open("a") as file:
        file.write('{"b": ' + "x" * (2 << 20))
    append_line(path, '{"c": "é"}')
    assert [row for _, row in read_jsonl(path)] == [{"a": 1}, {"c": "é"}]
    path.write_text("half")
    append_line(path, '{"d": 1}')
    assert path.read_text() == '{"d": 1}\n'


def test_what_killed_processes_left_is_removed(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "table.parquet.123.partial").write_text("half")
    (tmp_path / "weights.123.partial").mkdir()
    (tmp_path / "weights.123.partial" / "file.9.partial").write_text("half")
    (tmp_path / "table.parquet").write_text("whole")
    remove_partials(tmp_path)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a", "table.parquet"]


def test_a_folder_is_removed_under_its_name_at_once(tmp_path, monkeypatch):
    (tmp_path / "checkpoint").mkdir()
    (tmp_path / "checkpoint" / "state").write_text("x")

    def killed(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("shutil.rmtree", killed)
        with pytest.raises(KeyboardInterrupt):
            remove_folder(tmp_path / "checkpoint")
    assert not (tmp_path / "checkpoint").exists()
    remove_folder(tmp_path / "checkpoint")
    remove_partials(tmp_path)
    assert list(tmp_path.iterdir()) == []
