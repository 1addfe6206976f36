"""The experiments: a file each, with question, set-up, result and decision; the index and the page of results name them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "experiments"
FILES = sorted(path for path in FOLDER.glob("*.md") if path.name != "README.md")
LINK = re.compile(r"\]\(([^)#]+\.md)(?:#[^)]*)?\)")


def test_there_are_experiments():
    assert len(FILES) > 30


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_an_experiment_has_its_date_its_parts_and_a_conclusion_as_heading(path):
    assert re.fullmatch(r"\d{4}-\d\d-\d\d-[a-z0-9-]+", path.stem)
    text = path.read_text(encoding="utf-8")
    first, _, third, *_ = text.splitlines()
    assert re.match(r"# [^#]{20,}", first)
    assert not first.endswith("?")
    assert third.startswith(f"{path.name[:10]}.")
    headings = re.findall(r"^## (.*)$", text, flags=re.MULTILINE)
    assert headings in (
        ["Question", "Set-up", "Result", "Decision"],
        ["Question", "Set-up and result", "Decision"],
    ), headings  # fmt: skip


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_index_names_an_experiment_by_its_heading_and_marks_what_failed_or_was_superseded(path):
    title, _, marks = path.read_text(encoding="utf-8").splitlines()[:3]
    (line,) = [
        line for line in (FOLDER / "README.md").read_text(encoding="utf-8").splitlines() if f"({path.name})" in line
    ]
    assert title.removeprefix("# ") in line
    assert ("Negative result" in marks) == ("*Negative result.*" in line)
    assert ("Superseded by" in marks) == ("*Superseded.*" in line)


@pytest.mark.parametrize(
    "path", [*FILES, FOLDER / "README.md", ROOT / "docs" / "results.md"], ids=lambda path: path.stem
)
def test_links_lead_somewhere(path):
    missing = [link for link in LINK.findall(path.read_text(encoding="utf-8")) if not (path.parent / link).is_file()]
    assert not missing


def test_what_holds_today_is_one_page_with_a_command_and_a_link_in_each_row():
    text = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    assert len(text.split()) < 900
    rows = [line for line in text.splitlines() if line.startswith("| ") and not line.startswith("| result")]
    assert len(rows) > 10
    for row in rows:
        assert "../experiments/" in row, row
        assert row.split(" | ")[1].count("`") >= 2 or row.split(" | ")[1] == "the same", row


def test_no_source_names_the_file_of_before():
    named = [
        path.relative_to(ROOT)
        for folder in ("src", "tests", "docs", "benchmarks", "examples")
        for path in (ROOT / folder).rglob("*")
        if path.suffix in (".py", ".md", ".yaml") and path.name != Path(__file__).name
        and "EXPERIMENTS" + ".md" in path.read_text(encoding="utf-8")
    ]  # fmt: skip
    assert not named
