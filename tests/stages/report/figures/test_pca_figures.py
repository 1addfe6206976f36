"""Figures of the PCA from tables alone."""

from __future__ import annotations

import pandas as pd

from spillover.stages.report.charts import svg
from spillover.stages.report.figures.pca_figures import pca_figures


def test_of_many_pairs_of_languages_those_with_the_reference_language_are_on_the_page(probed_run):
    pairs = pd.read_parquet(probed_run.path / "probe" / "base" / "pca_pairs.parquet")
    strangers = pairs.assign(language="th", other="de")
    pd.concat([pairs, strangers]).to_parquet(probed_run.path / "probe" / "base" / "pca_pairs.parquet")
    figure = next(figure for figure in pca_figures(probed_run) if figure.name == "pca-correlation")
    assert len(figure.table) == 2 * len(pairs)
    assert not (figure.table["Language"] == "Thai").any()


def test_the_tables_decide_which_figures_there_are(probed_run, run):
    assert pca_figures(run) == []
    assert [figure.name for figure in pca_figures(probed_run)] == ["pca-correlation", "pca-all", "pca-mean"]


def test_the_correlation_is_with_the_reference_language_by_name(probed_run, monkeypatch):
    monkeypatch.setattr("spillover.stages.report.charts.reference_language", lambda: "th")
    caption = pca_figures(probed_run)[0].caption
    assert "Thai" in caption
    assert "English" not in caption


def test_a_table_has_the_mean_of_each_language_and_a_file_a_still_picture(probed_run):
    scatter = pca_figures(probed_run)[-1]
    assert len(scatter.table) == 2 * 3 * 4
    assert svg(scatter.still).startswith("<svg")
