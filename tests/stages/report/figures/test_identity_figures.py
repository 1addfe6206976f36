"""Figures of language identity and of neurons from tables alone."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from spillover.core.runs import Run
from spillover.stages.report.charts import svg
from spillover.stages.report.figures.identity_figures import language_identity_figures


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "probe" / "base").mkdir(parents=True)
    return tmp_path / "probe" / "base"


def test_identity_is_drawn_beside_the_nulls_that_were_run(folder, tmp_path):
    rows = [
        {"language": code, "pooling": "weighted", "layer": layer, "measure": "accuracy", "value": 0.9, "low": 0.8}
        | {"high": 1.0, "permuted": 0.1, "clears": True}
        for code in ("", "de")
        for layer in range(3)
    ]
    pd.DataFrame(rows).to_parquet(folder / "identity.parquet")
    (figure,) = language_identity_figures(Run(tmp_path))
    assert len(figure.table) == 3
    drawn = svg(figure.chart)
    assert "languages exchanged" in drawn
    assert "random weights" not in drawn


@pytest.mark.parametrize(("count", "figures"), [(3.0, ["language-neurons"]), (np.nan, [])])
def test_neurons_have_a_figure_where_they_could_be_counted(folder, tmp_path, count, figures):
    neurons = {"language": ["", "de"], "layer": 1, "count": count, "permuted": 1.0, "clears": True}
    pd.DataFrame(neurons).to_parquet(folder / "neurons.parquet")
    drawn = language_identity_figures(Run(tmp_path))
    assert [figure.name for figure in drawn] == figures
    assert all(svg(figure.chart).startswith("<svg") for figure in drawn)
