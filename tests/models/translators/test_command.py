from __future__ import annotations

import sys

import pytest

from spillover.core.config import TranslatorConfig
from spillover.core.errors import ModelError
from spillover.models.translators.command import CommandTranslator
from tests.models.translators.builders import ENGLISH, GERMAN

ROWS = "import json, sys, os, time\nrows = [json.loads(line) for line in sys.stdin]\n"


@pytest.fixture
def command(tmp_path):
    """A translator that runs this Python code, with the rows it was given in `rows`."""

    def make(code, **values):
        path = tmp_path / "translate.py"
        path.write_text(ROWS + code, encoding="utf-8")
        return CommandTranslator(TranslatorConfig(command=[sys.executable, "-S", str(path)], **values))

    return make


ECHO = "for row in rows: print(json.dumps({\"translation\": f\"{row['source']}-{row['target']} {row['retry']}: \" + row[\"text\"]}))"


def test_rows_go_in_and_translations_come_out(command):
    translator = command(ECHO, batch=2)
    texts = ["one", "two\nlines", "drei ü \u2028"]
    assert translator.translate(texts, ENGLISH, GERMAN) == [f"en-de False: {text}" for text in texts]
    assert translator.translate(texts[:1], ENGLISH, GERMAN, retry=True) == ["en-de True: one"]


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("", "was given 2 rows and returned 0"),
        ('print(json.dumps({"translation": "a"}))', "was given 2 rows and returned 1"),
        ("print('hello\\nthere')", "row:1: broken JSON"),
        ("print('3\\n4')", "row 1 has no text under translation: 3"),
        ('print(json.dumps({"translation": "a"})); print(json.dumps({"text": "b"}))', "row 2 has no text under"),
        ('print(json.dumps({"translation": 1})); print("{}")', "row 1 has no text under"),
        ("sys.stdout.buffer.write(b'\\xff\\n\\xff\\n')", "row"),
        ("sys.exit('no such model')", "ended with exit code 1: no such model"),
        ("time.sleep(60)", "no answer in 0.5 s"),
    ],
)
def test_a_command_that_fails_is_an_error_of_one_line(command, code, message):
    values = {"timeout": 0.5} if "sleep" in code else {}
    with pytest.raises(ModelError, match=message) as error:
        command(code, **values).translate(["a", "b"], ENGLISH, GERMAN)
    assert error.value.hint
    assert "\n" not in error.value.message


def test_no_shell_reads_the_arguments(tmp_path):
    config = TranslatorConfig(command=[sys.executable, "-S", "-c", ROWS + ECHO, "; touch", str(tmp_path / "made")])
    CommandTranslator(config).translate(["a"], ENGLISH, GERMAN)
    assert not (tmp_path / "made").exists()


def test_a_missing_program_is_named():
    with pytest.raises(ModelError, match="no program 'no-such-program'"):
        CommandTranslator(TranslatorConfig(command=["no-such-program"]))


def test_the_key_is_not_given_to_it(command, monkeypatch):
    monkeypatch.setenv("SPILLOVER_API_KEY", "secret")
    translator = command('print(json.dumps({"translation": str("SPILLOVER_API_KEY" in os.environ)}))')
    assert translator.translate(["a"], ENGLISH, GERMAN) == ["False"]


def test_the_fingerprint_is_that_of_the_program(command):
    first = command(ECHO).fingerprint
    assert command(ECHO).fingerprint == first
    assert command(ECHO + " # changed").fingerprint != first
