"""The walls: what may be imported where, and how fast help comes."""

from __future__ import annotations

import json
import multiprocessing
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import spillover

HEAVY = ["torch", "transformers", "peft", "pandas", "altair", "sklearn", "scipy"]


def fresh(code: str, cwd: Path | None = None) -> str:
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=cwd)
    assert answer.returncode == 0, answer.stderr
    return answer.stdout.strip()


@pytest.mark.parametrize("code", ["import spillover", "import spillover.cli"])
def test_import_loads_nothing_heavy(code):
    assert fresh(f"{code}\nimport sys\nprint([name for name in {HEAVY!r} if name in sys.modules])") == "[]"


def test_help_loads_no_torch():
    code = "import sys\nfrom spillover.cli import main\ntry: main(['--help'])\nexcept SystemExit as e: assert not e.code\nprint('torch' in sys.modules)"
    assert fresh(code).splitlines()[-1] == "False"


def test_compare_and_report_load_no_torch():
    code = "import spillover.stages.compare.stage, spillover.stages.report, spillover.stages.audit.stage, spillover.stages.build, sys\nprint('torch' in sys.modules)"
    assert fresh(code) == "False"


def put_uncallable_names(answers):
    """Into `answers`, in a process of its own: the public names that are no functions after these imports."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "spillover"]:
        del sys.modules[name]
    for name in ("evaluate.score_tables", "compare.stage", "report", "audit.stage"):
        import_module(f"spillover.stages.{name}")
    package = import_module("spillover")
    answers.put([name for name in package.__all__ if not callable(getattr(package, name))])


def test_public_names_are_functions_whatever_was_imported_before():
    fork = multiprocessing.get_context("fork")  # a fresh process would import torch again
    answers = fork.SimpleQueue()
    process = fork.Process(target=put_uncallable_names, args=(answers,))
    process.start()
    process.join()
    assert process.exitcode == 0
    assert answers.get() == []


def test_unknown_public_name():
    with pytest.raises(AttributeError, match="nonsense"):
        spillover.nonsense  # noqa: B018


def test_no_language_code_is_typed_in_python():
    import re

    from spillover.core.languages import known_languages

    codes = "|".join(known_languages())
    typed = re.compile(rf"""["']({codes})["']""")
    source = Path(spillover.__file__).parent
    rows = [
        (path.name, line) for path in source.rglob("*.py") for line in path.read_text(encoding="utf-8").splitlines()
    ]
    assert [row for row in rows if typed.search(row[1])] == []


WITHOUT_TORCH = """
import contextlib, io, json, sys
for name in ("torch", "transformers", "peft", "accelerate"):
    sys.modules[name] = None
import spillover as sp
from spillover.cli import main
from spillover.core.errors import MissingExtra
facts = {}
try:
    sp.load_model
except MissingExtra as error:
    facts["load_model"] = error.hint
for verb in ("evaluate", "demo"):
    with contextlib.redirect_stderr(io.StringIO()) as error:
        try:
            main([verb, "--out", "run"])
        except SystemExit as ending:
            facts[verb] = [ending.code, error.getvalue()]
import spillover.stages.compare.stage, spillover.stages.report
facts["audit"] = len(sp.audit(sp.open_benchmark("nli", languages=["en", "de"])))
facts["source"] = sp.build_pairs("sentiment", languages=["de"])[0].source
print(json.dumps(facts))
"""


@pytest.fixture(scope="module")
def without_torch(tmp_path_factory):
    """(what happens where there is no torch, by name; the folder where it happened)."""
    folder = tmp_path_factory.mktemp("without-torch")
    return json.loads(fresh(WITHOUT_TORCH, cwd=folder)), folder


def test_without_torch_the_core_audits_compares_and_reports(without_torch):
    facts, _ = without_torch
    assert (facts["audit"], facts["source"]) == (0, "de")


@pytest.mark.parametrize("verb", ["evaluate", "demo"])
def test_without_torch_a_verb_that_needs_it_says_what_to_install(verb, without_torch):
    facts, folder = without_torch
    code, error = facts[verb]
    assert code == 4
    assert "pip install 'spillover[models]'" in error
    assert "Traceback" not in error
    assert not (folder / "run").exists()


def test_without_torch_a_public_name_says_what_to_install(without_torch):
    assert without_torch[0]["load_model"] == "pip install 'spillover[models]'"


def test_every_source_file_has_tests_under_its_name():
    root, tests = Path(__file__).parents[1] / "src" / "spillover", Path(__file__).parent
    sources = [path.relative_to(root) for path in root.rglob("*.py") if path.name != "__init__.py"]
    lacking = [path for path in sources if not (tests / path.with_name(f"test_{path.name}")).is_file()]
    assert not lacking
