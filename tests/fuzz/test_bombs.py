"""Small files that become large, and large or deep ones: refused in one message, in bounded time and memory."""

from __future__ import annotations

import pytest

from tests.fuzz.running import faults, files_of, run_command
from tests.fuzz.targets import TARGETS

ALIASES = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 12)
)
DEEP = 200_000
BOMBS = {
    "YAML aliases, config": ("config", ALIASES),
    "YAML aliases, wording": ("wording", ALIASES + "language: de\nwords: *a11\n"),
    "YAML aliases, hub": ("hub source", ALIASES),
    "YAML that holds itself": ("config", "name: &a [*a]\n"),
    "YAML, deep": ("config", "name: " + "[" * DEEP),
    "YAML, long": ("config", "name: x\n" + "#" * (2 << 20)),
    "YAML, a tag that executes": ("config", "name: !!python/object/apply:os.system ['touch executed']\n"),
    "YAML, lists as keys": ("config", "? [a, b]\n: 1\n"),
    "JSON, deep, verdict": ("verdict", "[" * DEEP),
    "JSON, deep, manifest": ("manifest", '{"a":' * DEEP),
    "JSON, deep, items": ("items as JSON lines", '{"id": ' + "[" * DEEP + "\n"),
    "JSON, deep, harness log": ("harness log", '{"doc_id": ' + "[" * DEEP + "\n"),
    "JSON, deep, inspect log": ("inspect log", '{"samples": ' + "[" * DEEP),
    "JSON, deep, chats": ("chat file", "[" * DEEP),
    "JSON, a long number": ("items as JSON lines", '{"id": ' + "1" * 5000 + ', "review": "x", "label": "positive"}\n'),
    "JSON, half a character": ("items as JSON lines", '{"id": "\\ud800", "review": "x", "label": "positive"}\n'),
}
LONG = {
    "items, one line of 100 MB": ("items as JSON lines", b'{"id": "a", "review": "', b"x" * (100 << 20)),
    "CSV, one cell of 100 MB": ("items as CSV", b'id,review,label\na,"', b"x" * (100 << 20)),
    "harness log, one line of 100 MB": ("harness log", b'{"doc_id": "', b"x" * (100 << 20)),
}


def end_of(name, tmp_path, *parts):
    target, folder = TARGETS[name], tmp_path / "input"
    folder.mkdir()
    target.make(folder)
    with (folder / target.file).open("wb") as file:
        file.writelines(part.encode() if isinstance(part, str) else part for part in parts)
    before = files_of(folder)
    ending = run_command(target.command.split(), folder, seconds=20, memory=4 << 30)
    assert not (folder / "executed").exists()
    assert not faults(ending, folder, before, target.made), ending.output
    assert ending.code in (2, 3), ending.output
    assert len(ending.output) < 2000, ending.output[:3000]


@pytest.mark.parametrize(("name", "text"), BOMBS.values(), ids=BOMBS)
def test_a_bomb_is_refused(name, text, tmp_path):
    end_of(name, tmp_path, text)


@pytest.mark.parametrize(("name", "start", "rest"), LONG.values(), ids=LONG)
def test_a_file_that_is_too_long_is_refused(name, start, rest, tmp_path):
    end_of(name, tmp_path, start, rest)
