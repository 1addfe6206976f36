from __future__ import annotations

import json

import pytest

from spillover.core.errors import RunError
from spillover.stages.audit.repair import MENDS, fix
from spillover.stages.audit.stage import audit
from tests.builders import small_data
from tests.stages.audit.test_stage import change

LANGUAGES = ("en", "de", "es", "fr", "it")


def mend(folder, out):
    return fix(audit("sentiment", data=str(folder)), ["sentiment"], data=str(folder), out=out)


def texts(folder, code="de"):
    return [
        json.loads(line)
        for line in (folder / "sentiment" / "test" / f"{code}.jsonl").read_text(encoding="utf-8").splitlines()
    ]


def test_certain_mends_are_made_and_named(tmp_path):
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
    mends = mend(folder, tmp_path / "fixed")
    assert texts(tmp_path / "fixed") == clean
    assert texts(tmp_path / "fixed", "es")[1]["review"] == "café & bar"
    assert len(texts(tmp_path / "fixed", "es")) == 20
    assert {row["label"] for row in texts(tmp_path / "fixed", "fr")} == {"positive", "negative"}
    assert {(m.language, m.check) for m in mends} >= {
        ("de", "label-permutation"), ("es", "label-disagrees"), ("es", "mojibake"), ("es", "repeated-id"), ("fr", "unknown-label"),
    }  # fmt: skip
    named = [json.loads(line) for line in (tmp_path / "fixed" / MENDS).read_text(encoding="utf-8").splitlines()]
    assert len(named) == len(mends)
    assert {"example_id", "before", "after"} <= set(named[0])
    assert original == {code: (folder / "sentiment" / "test" / f"{code}.jsonl").read_bytes() for code in LANGUAGES}
    assert not [f for f in audit("sentiment", data=str(tmp_path / "fixed")) if f.severity == "error"]


def test_what_is_not_certain_is_left_alone(tmp_path):
    folder = small_data(tmp_path / "data", ("en", "de"), items=20)
    change(folder, "de", lambda rows: [rows[0] | {"label": "negative"}, *rows[1:]])
    assert mend(folder, tmp_path / "fixed") == [], "one language against one is no proof"
    assert texts(tmp_path / "fixed") == texts(folder)


def test_a_folder_of_something_else_is_refused(tmp_path):
    folder = small_data(tmp_path / "data", LANGUAGES)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "precious").write_text("x")
    with pytest.raises(RunError, match="not made by --fix"):
        mend(folder, tmp_path / "other")
    with pytest.raises(RunError, match="in the data folder itself"):
        mend(folder, folder / "fixed")
    assert (tmp_path / "other" / "precious").exists()
