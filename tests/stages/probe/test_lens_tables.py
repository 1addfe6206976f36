"""The tables of the lens."""

from __future__ import annotations

import numpy as np
import pandas as pd

from spillover.core.runs import open_run
from spillover.core.tables import check_columns
from spillover.stages.probe.lens_columns import ITEM_COLUMNS, LAYER_COLUMNS, LENS_COLUMNS
from spillover.stages.probe.lens_tables import leading_from
from tests.builders import small_data
from tests.stages.probe.builders import run_probe


def test_leading_from():
    leads = np.array([[1, 0, 1, 1], [1, 1, 1, 1], [1, 0, 0, 0], [0, 0, 0, 1]], dtype=bool)
    assert leading_from(leads).tolist() == [2, 0, 3, 3]


def test_values_are_in_their_ranges_and_within_their_intervals(tiny, tmp_path):
    folder = run_probe(open_run(tmp_path / "run"), tiny, str(small_data(tmp_path / "data")))
    lens, layers, items = (
        pd.read_parquet(folder / f"{name}.parquet") for name in ("lens", "lens_layers", "lens_items")
    )
    for table, columns in ((lens, LENS_COLUMNS), (layers, LAYER_COLUMNS), (items, ITEM_COLUMNS)):
        check_columns(table, columns)
    assert len(lens) == 3 * (1 + 2 + 2)
    assert lens["n"].eq(4).all()
    for name in ("answer", "wrong", "random", "answer_sequence", "wrong_sequence", "random_sequence"):
        rows = lens.loc[lens[name].notna(), [f"{name}_low", name, f"{name}_high"]]
        assert rows.stack().between(-1e-6, 1 + 1e-6).all(), name
        assert (rows[f"{name}_low"] <= rows[name] + 1e-9).all()
        assert (rows[name] <= rows[f"{name}_high"] + 1e-9).all()
    assert lens["rank"].between(1, 400).all()
    assert layers[["entropy", "energy"]].stack().ge(0).all()
    assert items["leads_at"].between(0, 2).all()
    assert (items["leads_first"] <= items["leads_at"]).all()
