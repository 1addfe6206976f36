from __future__ import annotations

import sys

import pytest

from spillover.core.files import read_jsonl, resources
from tests.builders import write_rows

BOOK = """import json, sys, pathlib
root = pathlib.Path(sys.argv[1])
read = lambda code: {row["id"]: row["review"] for row in map(json.loads, (root / f"{code}.jsonl").open(encoding="utf-8"))}
ids = {text: key for key, text in read("en").items()}
for line in sys.stdin:
    row = json.loads(line)
    print(json.dumps({"translation": read({"pt": "es"}.get(row["target"], row["target"]))[ids[row["text"]]] if len(sys.argv) == 2 else sys.argv[2]}))
"""


@pytest.fixture
def arguments(tmp_path):
    (tmp_path / "book.py").write_text(BOOK, encoding="utf-8")
    train = resources() / "demo" / "sentiment" / "train"
    rows = [row for _, row in read_jsonl(train / "en.jsonl")][:5]
    questions = write_rows(tmp_path / "questions.jsonl", rows)
    command = f"{sys.executable} -S {tmp_path / 'book.py'} {train}"
    return ["translate", questions, "--from", "en", "--to", "de,es", "--out", tmp_path / "mine", "--command", command]


def test_questions_are_translated_and_built(arguments, tmp_path, call):
    code, out, err = call(*arguments)
    assert code == 0, err
    assert "5 rows into de es with python" in err
    assert "10 texts of" in err
    assert out.splitlines()[-1] == (
        f"next: spillover build --task sentiment --data {tmp_path / 'mine'} --source de,es --out RUN"
    )
    assert f"wrote {tmp_path / 'mine' / 'sentiment' / 'train'}" in out
    assert call("build", "--data", tmp_path / "mine", "--source", "de,es", "--out", tmp_path / "run")[0] == 0


def test_a_translator_that_does_not_translate_is_one_line_and_exit_code_3(arguments, call):
    arguments[-1] += " nothing"
    code, out, err = call(*arguments)
    assert (code, out) == (3, "")
    (line,) = [line for line in err.splitlines() if line.startswith("error:")]
    assert "not one of 5 rows in succession was translated into German" in line


def test_a_language_without_wording_is_built_with_anothers(arguments, tmp_path, call):
    arguments[arguments.index("--to") + 1] = "pt"
    code, out, err = call(*arguments)
    assert code == 0, err
    assert "--source pt --wording en --out RUN" in out
    build = ("build", "--data", tmp_path / "mine", "--source", "pt", "--wording", "en", "--out", tmp_path / "run")
    assert call(*build)[0] == 0


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (["--causal", "b"], "causal and command exclude each other"),
        (["--batch", "0"], "translate.translator.batch"),
        (["--missing-items", "some"], "some"),
    ],
)
def test_options_that_make_no_sense_are_exit_code_2(arguments, call, extra, message):
    code, _, err = call(*arguments, *extra)
    assert code == 2
    assert message in err
