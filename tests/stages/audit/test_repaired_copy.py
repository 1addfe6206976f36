from __future__ import annotations

import json

import pytest

from spillover.core.errors import RunError
from spillover.stages.audit.repaired_copy import REPAIRS, write_repaired_copy
from spillover.tasks.benchmark import open_benchmark
from tests.builders import small_data
from tests.stages.audit.builders import audit_folder, change

LANGUAGES = ("en", "de", "es", "fr", "it")


def repair(folder, out):
    return write_repaired_copy(audit_folder(folder), [open_benchmark("sentiment", data=str(folder))], out)


def texts(folder, code="de"):
    return [
        json.loads(line)
        for line in (folder / "sentiment" / "test" / f"{code}.jsonl").read_text(encoding="utf-8").splitlines()
    ]


def test_certain_repairs_are_made_and_recorded(tmp_path):
    folder = small_data(tmp_path / "data", LANGUAGES, items=20)
    clean = texts(folder)
    swap = {"positive": "negative", "negative": "positive"}
    change(folder, "de", lambda rows: [row | {"label": swap[row["label"]]} for row in rows])
    change(
        folder,
        "es",
        lambda rows: [
            rows[0] | {"label": "negative"},
            rows[1] | {"review": "caf\u00c3\u00a9 &amp; bar"},
            *rows[2:],
            rows[3],
        ],
    )
    change(folder, "fr", lambda rows: [row | {"label": "bon"} if row["label"] == "positive" else row for row in rows])
    original = {code: (folder / "sentiment" / "test" / f"{code}.jsonl").read_bytes() for code in LANGUAGES}
    repairs = repair(folder, tmp_path / "fixed")
    assert texts(tmp_path / "fixed") == clean
    assert texts(tmp_path / "fixed", "es")[1]["review"] == "café & bar"
    assert len(texts(tmp_path / "fixed", "es")) == 20
    assert {row["label"] for row in texts(tmp_path / "fixed", "fr")} == {"positive", "negative"}
    assert {(r.language, r.check) for r in repairs} >= {
        ("de", "label-permutation"), ("es", "label-disagrees"), ("es", "mojibake"), ("es", "repeated-id"), ("fr", "unknown-label"),
    }  # fmt: skip
    recorded = [json.loads(line) for line in (tmp_path / "fixed" / REPAIRS).read_text(encoding="utf-8").splitlines()]
    assert len(recorded) == len(repairs)
    assert {"example_id", "before", "after"} <= set(recorded[0])
    assert original == {code: (folder / "sentiment" / "test" / f"{code}.jsonl").read_bytes() for code in LANGUAGES}
    assert not [f for f in audit_folder(tmp_path / "fixed") if f.severity == "error"]


def test_what_is_not_certain_is_left_alone(tmp_path):
    folder = small_data(tmp_path / "data", ("en", "de"), items=20)
    change(folder, "de", lambda rows: [rows[0] | {"label": "negative"}, *rows[1:]])
    assert repair(folder, tmp_path / "fixed") == [], "one language against one is no proof"
    assert texts(tmp_path / "fixed") == texts(folder)


def test_a_folder_of_something_else_is_refused(tmp_path):
    folder = small_data(tmp_path / "data", LANGUAGES)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "precious").write_text("x")
    with pytest.raises(RunError, match="not made by --fix"):
        repair(folder, tmp_path / "other")
    with pytest.raises(RunError, match="in the data folder itself"):
        repair(folder, folder / "fixed")
    assert (tmp_path / "other" / "precious").exists()


def test_a_copy_of_an_earlier_version_may_be_replaced(tmp_path):
    folder = small_data(tmp_path / "data", LANGUAGES)
    (tmp_path / "fixed").mkdir()
    (tmp_path / "fixed" / "MENDS.jsonl").write_text("")
    assert repair(folder, tmp_path / "fixed") == []
    assert not (tmp_path / "fixed" / "MENDS.jsonl").exists()


def test_exchanged_classes_are_repaired_before_unknown_words(tmp_path):
    folder = small_data(tmp_path / "data", LANGUAGES, items=40)
    clean = texts(folder)
    swap = {"positive": "negative", "negative": "positive"}
    change(
        folder,
        "de",
        lambda rows: [
            row | {"label": "gut" if row["label"] == "positive" and i < 30 else swap[row["label"]]}
            for i, row in enumerate(rows)
        ],
    )
    repair(folder, tmp_path / "fixed")
    assert texts(tmp_path / "fixed") == clean
