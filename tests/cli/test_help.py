"""The help of every verb on 80 columns, as a person sees it; help.txt holds it whole.

After a change: `python -m tests.cli.test_help > tests/cli/help.txt`, and read the difference.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from spillover.cli import VERBS, main

CALLS = ("", *VERBS, "import paper", "import hub", "probe lens", "export lm-eval", "export eee")
PINNED = re.search(r"^typer==(.+)$", (Path(__file__).parents[2] / "constraints.txt").read_text(), re.M)


def help_of(verb):
    output = io.StringIO()
    with contextlib.redirect_stdout(output), pytest.raises(SystemExit) as end:
        main([*verb.split(), "--help"])
    assert not end.value.code
    return output.getvalue()


def all_help():
    return "".join(f"$ spillover {verb} --help\n{help_of(verb)}\n" for verb in CALLS)


@pytest.mark.skipif(PINNED is None or version("typer") != PINNED[1], reason="typer lays out the help of its version")
def test_the_help_is_as_it_was_read(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    assert all_help() == (Path(__file__).parent / "help.txt").read_text(encoding="utf-8")


@pytest.mark.parametrize("verb", CALLS)
def test_help_fits_80_columns_and_every_option_has_a_text(verb, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    text = help_of(verb)
    assert max(map(len, text.splitlines())) <= 80
    assert re.findall(r"^  --[\w/-]+(?:, --\w+)?(?: <[^>]*>)? *$(?!\n {20,}\S)", text, re.M) == []


def test_the_list_of_verbs_imports_nothing_heavy():
    code = "import sys; from spillover.cli import main\ntry: main(['--help'])\nfinally: print(sorted(sys.modules))"
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    modules = output.splitlines()[-1]
    assert "'typer'" in modules
    for name in ("pydantic", "numpy", "pandas", "torch", "spillover.core.config"):
        assert f"'{name}'" not in modules


if __name__ == "__main__":
    os.environ["COLUMNS"] = "80"
    print(all_help(), end="")
