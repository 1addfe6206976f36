"""Tables of a run folder: those that are there, and errors that name a damaged one."""

from __future__ import annotations

import pytest

from spillover.core.errors import DataError
from spillover.stages.report.run_tables import (
    chance,
    compared_sides,
    read_all_evaluations,
    read_compare_table,
    read_probe_tables,
    run_comparisons,
)


def test_what_is_not_there_is_none_or_empty(run, probed_run):
    assert read_probe_tables(run, "lens") is None
    assert read_compare_table(run, "questions") is None
    assert run_comparisons(probed_run) == []
    assert chance(run, "sentiment") is None
    assert read_all_evaluations(run) == {}


def test_tables_of_all_models_are_one_table_and_a_lacking_column_is_named(probed_run):
    assert set(read_probe_tables(probed_run, "pca")["model"]) == {"base", "tuned"}
    with pytest.raises(DataError, match=r"pca\.parquet: lacks the column pc9"):
        read_probe_tables(probed_run, "pca", ("pc9",))


def test_both_sides_are_found_by_the_keys_that_compare_recorded(whole_run):
    sides = compared_sides(whole_run, read_all_evaluations(whole_run), "sentiment")
    assert [folder.parent.name for folder, _ in sides] == ["base", "tuned"]
    assert compared_sides(whole_run, read_all_evaluations(whole_run), "nli") == []
    assert chance(whole_run, "sentiment") == 0.5
