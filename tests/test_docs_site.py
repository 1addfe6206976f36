"""The hook of the docs site: which files of the project it holds, and where links lead. `make docs` builds it."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import SimpleNamespace

import pytest
from mkdocs.config import load_config
from mkdocs.structure.files import get_files

import spillover
from spillover.stages.report.column_reference import WRITTEN_TABLES

ROOT = Path(__file__).parent.parent
LARGEST_FIGURE = 60_000  # bytes


def module_of_docs(name):
    spec = importlib.util.spec_from_file_location(name, ROOT / "docs" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def hook():
    return module_of_docs("project_files")


@pytest.fixture(scope="module")
def config():
    return load_config(str(ROOT / "mkdocs.yml"))


def test_files_that_pages_link_to_are_part_of_the_site(config):
    uris = {file.src_uri for file in config.plugins.on_files(get_files(config), config=config)}
    assert {"index.md", "cli.md", "experiments/README.md", "CONTRIBUTING.md", "examples/serving/cost.py"} <= uris
    assert not {"README.md", "pyproject.toml", "LICENSE"} & uris


@pytest.mark.parametrize(
    ("page", "link", "in_site"),
    [
        ("server.md", "../examples/serving/cost.py", "examples/serving/cost.py"),
        ("concepts/power.md", "../../experiments/README.md#x", "../experiments/README.md#x"),
        ("CONTRIBUTING.md", "docs/tasks.md", "tasks.md"),
        ("concepts/power.md", "power.svg", "power.svg"),
        ("concepts/power.md", "nowhere.md", "nowhere.md"),
        ("index.md", "https://example.org/docs/tasks.md", "https://example.org/docs/tasks.md"),
    ],
)
def test_a_link_leads_to_the_same_file_in_the_site(hook, page, link, in_site):
    place = SimpleNamespace(file=SimpleNamespace(src_uri=page))
    assert hook.on_page_markdown(f"[a]({link}) b", place) == f"[a]({in_site}) b"


def test_every_verb_is_a_section_of_the_command_line(hook):
    page = hook.command_line_page(hook.HELP.read_text(encoding="utf-8"))
    assert "## spillover probe lens\n\n```text\nUsage: spillover probe lens [OPTIONS]" in page
    assert page.count("```text") == hook.HELP.read_text(encoding="utf-8").count("\n$ ") + 1


def test_docstrings_keep_brackets_and_columns():
    as_markdown = module_of_docs("docstrings").as_markdown
    assert as_markdown("Writes <run>/compare, as `a <b>` has it; 1 < 2.") == (
        "Writes &lt;run>/compare, as `a <b>` has it; 1 < 2."
    )
    assert as_markdown("First.\n\nbatch   one\nnone    two") == "First.\n\n    batch   one\n    none    two"


def test_every_public_name_is_in_the_reference():
    page = (ROOT / "docs" / "api" / "index.md").read_text(encoding="utf-8")
    named = re.findall(r"^::: spillover(?:\.\w+)*\.(\w+)$", page, flags=re.MULTILINE)
    assert sorted(named) == sorted(spillover.__all__)


def test_the_tables_of_the_run_folder_are_ones_that_are_written():
    page = (ROOT / "docs" / "run-folder.md").read_text(encoding="utf-8")
    lines = re.findall(r"^├── (compare|alternatives|probe/<model>)/ +(.*)$", page, flags=re.MULTILINE)
    tables = {f"{folder}/{name}" for folder, names in lines for name in re.findall(r"(\w+)\.parquet", names)}
    assert len(tables) == 9
    assert tables <= set(WRITTEN_TABLES)


def test_nothing_is_loaded_from_another_host(config):
    assert config.theme["font"] is False
    assert not config.extra_javascript
    assert not config.extra_css


def test_figures_of_concepts_are_small():
    sizes = {path.name: path.stat().st_size for path in (ROOT / "docs" / "concepts").glob("*.svg")}
    assert set(sizes) == {"label-bias.svg", "placebo.svg", "power.svg"}
    assert max(sizes.values()) < LARGEST_FIGURE
