"""The walls: what may be imported where, and how fast help comes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import spillover

HEAVY = ["torch", "transformers", "peft", "pandas", "altair", "sklearn", "scipy"]


def fresh(code: str) -> str:
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
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


def test_public_names_are_functions_whatever_was_imported_before():
    code = (
        "import spillover.stages.evaluate.score_tables, spillover.stages.compare.stage, spillover.stages.report, spillover.stages.audit.stage\n"
        "import spillover as sp\nprint(all(callable(getattr(sp, name)) for name in sp.__all__))"
    )
    assert fresh(code) == "True"


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


BLOCK = "import sys\nfor name in ('torch', 'transformers', 'peft', 'accelerate'): sys.modules[name] = None\n"


def test_without_torch_the_core_audits_compares_and_reports():
    code = "import spillover.stages.compare.stage, spillover.stages.report\nimport spillover as sp\nprint(sp.audit('nli'), sp.build_pairs('sentiment', languages=['de'])[0].source)"
    assert fresh(BLOCK + code) == "[] de"


@pytest.mark.parametrize("arguments", [["evaluate", "--out", "run"], ["demo", "--out", "run"]])
def test_without_torch_a_verb_that_needs_it_says_what_to_install(arguments, tmp_path):
    code = BLOCK + f"from spillover.cli import main\nmain({arguments!r})"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert answer.returncode == 4
    assert "pip install 'spillover[models]'" in answer.stderr
    assert "Traceback" not in answer.stderr
    assert not (tmp_path / "run").exists()


def test_without_torch_a_public_name_says_what_to_install():
    code = "import spillover as sp\ntry: sp.load_model\nexcept sp.core.errors.MissingExtra as error: print(error.hint)"
    assert fresh(BLOCK + "import spillover.core.errors\n" + code) == "pip install 'spillover[models]'"


def test_every_source_file_has_tests_under_its_name():
    root, tests = Path(__file__).parents[1] / "src" / "spillover", Path(__file__).parent
    sources = [path.relative_to(root) for path in root.rglob("*.py") if path.name != "__init__.py"]
    lacking = [path for path in sources if not (tests / path.with_name(f"test_{path.name}")).is_file()]
    assert not lacking
