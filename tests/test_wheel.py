"""The package as a user gets it: built as a wheel and installed where there is nothing but what it declares, no torch."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import venv
import zipfile
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from spillover.core.files import read_json

ROOT = Path(__file__).parent.parent
TOOLS = {"dev", "docs"}
# langcodes reads language-data; tokenizers of transformers the other two.
NOT_IMPORTED = {"language-data", "sacremoses", "sentencepiece"}


def requirements_of_wheel(wheel: Path) -> list[Requirement]:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        lines = archive.read(name).decode().splitlines()
    return [Requirement(line.partition(": ")[2]) for line in lines if line.startswith("Requires-Dist: ")]


def requirements_of(name: str, extras: tuple[str, ...] = ("",)) -> list[Requirement]:
    """What an installed distribution asks for here, under any of these extras."""
    rows = [Requirement(line) for line in distribution(name).requires or ()]
    return [row for row in rows if row.marker is None or any(row.marker.evaluate({"extra": e}) for e in extras)]


def closure(requirements: list[Requirement]) -> set[str]:
    """Names of the distributions that `requirements` install, with all that those need."""
    names: set[str] = set()
    queue = [(row.name, ("", *row.extras)) for row in requirements]
    while queue:
        name, extras = queue.pop()
        if name not in names:
            names.add(name)
            queue += [(row.name, ("", *row.extras)) for row in requirements_of(name, extras)]
    return names


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    subprocess.run(build, check=True, cwd=ROOT, capture_output=True)
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def environment(wheel, tmp_path_factory):
    """A fresh environment with the wheel and links to its dependencies as they are installed here: no network."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder)  # without pip, which takes seconds: ours installs there
    pip = [sys.executable, "-m", "pip", "--python", folder / "bin" / "python", "install", "--quiet"]
    subprocess.run([*pip, "--no-deps", "--no-index", wheel], check=True, capture_output=True)
    (site,) = (folder / "lib").glob("python*/site-packages")
    core = [row for row in requirements_of_wheel(wheel) if "extra ==" not in str(row.marker)]
    for name in closure(core):
        for top in {Path(file).parts[0] for file in distribution(name).files or ()} - {"..", "__pycache__"}:
            if not (site / top).exists():
                (site / top).symlink_to(distribution(name).locate_file(top))
    return folder


def output_of(environment: Path, *command: str, cwd: Path) -> str:
    program, *arguments = command
    answer = subprocess.run(
        [environment / "bin" / program, *arguments], capture_output=True, text=True, check=False, cwd=cwd, env={}
    )
    assert answer.returncode == 0, answer.stderr
    return answer.stdout


def test_the_wheel_imports_where_there_is_no_torch(environment, tmp_path):
    code = (
        "import importlib.util, spillover\n"
        "print(spillover.__version__, [name for name in ('torch', 'transformers') if importlib.util.find_spec(name)])\n"
        "print(spillover.__file__)"
    )
    version, path = output_of(environment, "python", "-c", code, cwd=tmp_path).splitlines()
    assert version.endswith(" []")
    assert path.startswith(str(environment))


def test_the_wheel_audits(environment, tmp_path):
    assert "findings.json" in output_of(
        environment, "spillover", "audit", "--task", "nli", "--out", "run", cwd=tmp_path
    )
    findings = read_json(tmp_path / "run" / "audit" / "findings.json")
    assert [row["severity"] for row in findings] == ["note"]  # without the extra `audit`, languages are not named


def test_the_wheel_lists_compares_and_reports(environment, tmp_path):
    plan = ("compare", "--plan", "--items", "100", "--accuracy", "0.8,0.9")
    assert "points" in output_of(environment, "spillover", *plan, cwd=tmp_path)
    imports = "import spillover.stages.compare.stage, spillover.stages.report, spillover.stages.build.pairs"
    output_of(environment, "python", "-c", imports, cwd=tmp_path)


def test_the_wheel_says_that_it_is_typed(environment):
    (site,) = (environment / "lib").glob("python*/site-packages")
    assert (site / "spillover" / "py.typed").is_file()


def test_what_is_declared_is_what_the_source_imports(wheel):
    """Dependencies and extras, but for those of tools: nothing too much, nothing left to others' dependencies."""
    imported = third_party_imports(ROOT / "src" / "spillover")
    users = {
        row.name for row in requirements_of_wheel(wheel) if not TOOLS & set(re.findall(r"\w+", str(row.marker)))
    } - {"spillover"}
    declared = {name: packages_of(name) for name in users}
    assert {name for name, packages in declared.items() if not packages & imported} == NOT_IMPORTED
    assert imported - set().union(*declared.values()) == set()


def packages_of(name: str) -> set[str]:
    """Top-level packages and modules of a distribution; where it is not installed, the one named alike."""
    try:
        files = distribution(name).files or ()
    except PackageNotFoundError:
        return {name.replace("-", "_")}
    return {Path(file).parts[0].removesuffix(".py") for file in files}


def third_party_imports(source: Path) -> set[str]:
    """Top-level packages that any module imports, but for Python's own and ours."""
    tops = set()
    for path in source.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                tops |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                tops.add(node.module.partition(".")[0])
    return tops - set(sys.stdlib_module_names) - {"spillover"}
