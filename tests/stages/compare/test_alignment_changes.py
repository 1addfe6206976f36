"""Changes of alignment: tested by item, corrected over cells."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from spillover.core.errors import DataError
from spillover.core.tables import check_columns
from spillover.stages.compare.alignment_changes import CHANGE_COLUMNS, alignment_changes


def test_changes_are_tested_by_item_and_corrected_over_cells(probed_sides):
    run, *_ = probed_sides
    folders = [run.path / "probe" / name for name in ("base", "tuned")]
    found = alignment_changes(*folders, level=0.95, rng=np.random.default_rng(0))
    assert len(found) == 3 * 2 * 2
    margin = found[(found["measure"] == "margin") & (found["layer"] == 1)]
    assert (margin["change"] > 0.4).all()
    assert (margin["bh_q"] < 0.05).all()
    assert (margin["low"] < margin["change"]).all()
    assert (found.loc[found["measure"] == "retrieval", "p"] == 1).all()


def test_changes_of_other_items_are_refused(probed_sides):
    run, *_ = probed_sides
    folders = [run.path / "probe" / name for name in ("base", "tuned")]
    path = folders[1] / "alignment_items.parquet"
    pd.read_parquet(path).iloc[::-1].to_parquet(path)
    with pytest.raises(DataError, match="other items, languages or layers"):
        alignment_changes(*folders, level=0.95, rng=np.random.default_rng(0))


def test_the_table_has_its_declared_columns(probed_sides):
    run, *_ = probed_sides
    folders = [run.path / "probe" / name for name in ("base", "tuned")]
    check_columns(alignment_changes(*folders, level=0.95, rng=np.random.default_rng(0)), CHANGE_COLUMNS)
