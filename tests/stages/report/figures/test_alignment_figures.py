"""Figures of alignment from tables alone: what does not exceed its nulls is grey."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from spillover.core.runs import open_run
from spillover.stages.report.charts import FADED, svg, with_names
from spillover.stages.report.figures.alignment_figures import alignment_figures, alignment_heatmap

CODES = ("de", "hi")


def alignment(clears):
    rows = [
        {"language": code, "other": "en", "pooling": "weighted", "layer": layer, "measure": measure, "model": "base"}
        | {"value": 0.5 if layer else np.nan, "clears": bool(clears and layer)}
        for code in CODES
        for layer in range(3)
        for measure in ("mexa", "cka")
    ]
    return pd.DataFrame(rows)


@pytest.mark.parametrize("clears", [True, False])
def test_cells_that_do_not_exceed_their_nulls_are_grey(clears):
    rows = with_names(alignment(clears))
    drawn = svg(alignment_heatmap(rows[rows["measure"] == "mexa"], "mexa"))
    assert drawn.count(f'fill="{FADED}"') == (2 if clears else 6)  # layer 0 is undefined


def test_the_run_folder_decides_which_figures_there_are(tmp_path):
    run = open_run(tmp_path)
    assert alignment_figures(run) == []
    folder = tmp_path / "probe" / "base"
    folder.mkdir(parents=True)
    alignment(True).drop(columns="model").to_parquet(folder / "alignment.parquet")
    (tmp_path / "compare").mkdir()
    items = {"language": ["de", "de", "hi"], "turned": ["right", "", "wrong"], "closer": [0.1, 0.0, -0.1]}
    pd.DataFrame(items).to_parquet(tmp_path / "compare" / "items.parquet")
    figures = alignment_figures(run)
    assert [figure.name for figure in figures] == ["alignment-mexa", "alignment-cka", "flipped-items-movement"]
    assert "above these nulls: base 4 of 4." in figures[0].caption
    for figure in figures:
        assert svg(figure.chart).startswith("<svg")


def test_flipped_items_are_newly_correct_or_newly_wrong(tmp_path):
    run = open_run(tmp_path)
    (tmp_path / "compare").mkdir()
    items = {"language": ["de", "de", "hi"], "turned": ["right", "", "wrong"], "closer": [0.1, 0.0, -0.1]}
    pd.DataFrame(items).to_parquet(tmp_path / "compare" / "items.parquet")
    (figure,) = alignment_figures(run)
    assert set(figure.table["Predictions"]) == {"newly correct", "newly wrong", "not flipped"}
    assert "English counterpart" in svg(figure.chart)
