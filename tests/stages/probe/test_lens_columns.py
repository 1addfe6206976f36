from __future__ import annotations

from spillover.stages.probe.lens_columns import LENS_COLUMNS


def test_each_probability_of_the_lens_has_an_interval_and_lies_between_0_and_1():
    ranges = {column.name: column.range for column in LENS_COLUMNS}
    for name in ("answer", "wrong", "random", "answer_sequence", "wrong_sequence", "random_sequence"):
        assert {ranges[name], ranges[f"{name}_low"], ranges[f"{name}_high"]} == {"0 to 1"}
