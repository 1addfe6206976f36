from __future__ import annotations

from spillover.core.tables import Column
from spillover.stages.probe.columns import null_columns, with_interval


def test_an_interval_has_the_unit_and_range_of_its_value():
    value, low, high = with_interval(Column("entropy", "of the layer", "bits", "0 up"))
    assert (value.name, low.name, high.name) == ("entropy", "entropy_low", "entropy_high")
    assert {(column.unit, column.range) for column in (low, high)} == {("bits", "0 up")}


def test_a_null_comes_with_its_limit_and_the_share_it_explains():
    assert [column.name for column in null_columns("permuted", "permuted items")] == [
        "permuted", "permuted_limit", "permuted_share",
    ]  # fmt: skip
