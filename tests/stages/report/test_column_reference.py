from __future__ import annotations

from pathlib import Path

import pytest

from spillover.stages.report.column_reference import WRITTEN_TABLES, column_text, columns_page
from spillover.stages.report.content import LENS_COLUMNS, QUESTION_COLUMNS


def test_the_page_of_the_tables_is_up_to_date():
    page = Path(__file__).parents[3] / "docs" / "tables.md"
    assert page.read_text(encoding="utf-8") == columns_page(), "write docs/tables.md again"


def test_every_column_is_described_once():
    for path, columns in WRITTEN_TABLES.items():
        names = [column.name for column in columns]
        assert len(set(names)) == len(names), path
        assert all(column.description for column in columns), path


def test_a_heading_says_what_its_column_holds():
    assert column_text("compare/languages", "auroc_low") == (
        "lower end of the reported, analytic interval (share, -1 to 1)"
    )
    with pytest.raises(KeyError):
        column_text("compare/languages", "no_such_column")


def test_what_the_page_reads_is_declared():
    for name in LENS_COLUMNS:
        column_text("probe/<model>/lens", name)
    for name in QUESTION_COLUMNS:
        column_text("compare/questions", name)
