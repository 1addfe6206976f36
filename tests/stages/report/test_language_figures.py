"""Figures of languages from tables alone: what clears no null is grey."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from spillover.core.runs import open_run
from spillover.stages.report.charts import FADED, svg
from spillover.stages.report.language_charts import alignment_heatmap
from spillover.stages.report.language_figures import language_figures

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
def test_cells_that_do_not_clear_their_null_are_grey(clears):
    drawn = svg(alignment_heatmap(alignment(clears), "mexa", "weighted"))
    assert drawn.count(f'fill="{FADED}"') == (2 if clears else 6)  # layer 0 is undefined


def test_the_run_folder_decides_which_figures_there_are(tmp_path):
    run = open_run(tmp_path)
    assert language_figures(run) == []
    folder = tmp_path / "probe" / "base"
    folder.mkdir(parents=True)
    alignment(True).drop(columns="model").to_parquet(folder / "alignment.parquet")
    neurons = pd.DataFrame({"language": ["", "de"], "layer": 1, "count": 3.0, "permuted": 1.0, "clears": True})
    neurons.to_parquet(folder / "neurons.parquet")
    (tmp_path / "compare").mkdir()
    items = {"language": ["de", "de", "hi"], "turned": ["right", "", "wrong"], "closer": [0.1, 0.0, -0.1]}
    pd.DataFrame(items).to_parquet(tmp_path / "compare" / "items.parquet")
    figures = language_figures(run)
    assert [figure.name for figure in figures] == [
        "alignment-mexa", "alignment-cka", "flipped-predictions", "language-neurons",
    ]  # fmt: skip
    for figure in figures:
        assert svg(figure.chart).startswith("<svg")
        json.loads(figure.chart.to_json())


def test_neurons_that_could_not_be_counted_have_no_figure(tmp_path):
    folder = tmp_path / "probe" / "base"
    folder.mkdir(parents=True)
    neurons = pd.DataFrame({"language": [""], "layer": 1, "count": np.nan, "permuted": np.nan, "clears": False})
    neurons.to_parquet(folder / "neurons.parquet")
    assert language_figures(open_run(tmp_path / "other")) == []
