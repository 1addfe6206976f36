"""Figures of the PCA from tables alone."""

from __future__ import annotations

import pandas as pd

from spillover.stages.report.charts import specification, svg
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


def test_the_caption_counts_the_layers_that_are_above_their_nulls(probed_run):
    assert "base 6 of 6, tuned 6 of 6" in pca_figures(probed_run)[0].caption
    path = probed_run.path / "probe" / "tuned" / "pca_pairs.parquet"
    pd.read_parquet(path).assign(length=0.95).to_parquet(path)
    assert "base 6 of 6, tuned none of 6" in pca_figures(probed_run)[0].caption


def test_a_layer_of_a_small_spread_keeps_its_digits_beside_one_of_a_large_spread(probed_run):
    path = probed_run.path / "probe" / "base" / "pca.parquet"
    points = pd.read_parquet(path)
    points.loc[points["layer"] == 2, ["pc1", "pc2"]] *= 10_000
    points["pc2"] *= 1e-4
    points.to_parquet(path)
    datasets = specification(pca_figures(probed_run)[1].chart)["datasets"]
    (rows,) = datasets.values()
    first = [row for row in rows if row["model"] == "base" and row["layer"] == 0]
    assert all(len({row[axis] for row in first}) >= 15 for axis in ("pc1", "pc2"))


def test_a_table_has_the_mean_of_each_language_and_a_file_a_still_picture(probed_run):
    scatter = pca_figures(probed_run)[-1]
    assert len(scatter.table) == 2 * 3 * 4
    assert svg(scatter.still).startswith("<svg")
