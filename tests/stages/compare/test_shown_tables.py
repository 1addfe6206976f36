"""The rows of a comparison as a person reads them."""

from __future__ import annotations

from spillover.stages.compare.shown_tables import UNKNOWN, filled_columns, group_rows, language_rows
from spillover.stages.compare.stage import compare_arms
from tests.stages.compare.builders import QUICK, runs_of


def test_languages_and_groups_have_their_numbers_under_headings():
    found = compare_arms(runs_of(("translate", 0, 0.4)), config=QUICK)
    rows = language_rows(found.languages, found.measure, found.level)
    assert list(rows) == ["en", "de*", "th"]
    first = found.languages.iloc[0]
    assert rows["en"]["accuracy"] == f"{100 * first['accuracy_before']:.1f} → {100 * first['accuracy_after']:.1f}"
    assert {"change", "95 % interval", "Holm p", "bias", "rest", "AUROC"} <= set(rows["en"])
    groups = group_rows(found.groups, found.measure, found.level)
    assert groups["all"]["of"] == "3"
    assert {"seen", "unseen"} <= set(groups)


def test_columns_in_which_nothing_is_known_are_left_out():
    rows = {"a": {"x": UNKNOWN, "y": "1"}, "b": {"x": UNKNOWN, "y": UNKNOWN}}
    assert filled_columns(rows) == ["y"]
    assert filled_columns({}) == []
