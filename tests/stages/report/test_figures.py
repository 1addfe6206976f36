"""Figures of lens and PCA from tables alone, on the page and as files."""

from __future__ import annotations

import pandas as pd
import pytest

from spillover.core.errors import ConfigError, RunError
from spillover.core.runs import open_run
from spillover.stages.report.charts import FADED, packed, specification, svg
from spillover.stages.report.figures import layer_figures, write_figures
from spillover.stages.report.layer_charts import lens_change, lens_grid
from tests.stages.report.runs import lens, lens_layers, probe


@pytest.fixture
def run(tmp_path):
    run = open_run(tmp_path / "run")
    run.update(name="mine")
    probe(run.path / "probe" / "base")
    probe(run.path / "probe" / "tuned", gain=0.3)
    return run


def test_the_tables_decide_which_figures_there_are(run, tmp_path):
    assert layer_figures(open_run(tmp_path / "none")) == []
    names = [figure.name for figure in layer_figures(run)]
    assert names == ["lens-base", "lens-tuned", "lens-change", "pca-correlation", "pca-all", "pca-mean"]


def test_of_many_pairs_of_languages_those_with_english_stand_on_the_page(run):
    pairs = pd.read_parquet(run.path / "probe" / "base" / "pca_pairs.parquet")
    strangers = pairs.assign(language="th", other="de")
    pd.concat([pairs, strangers]).to_parquet(run.path / "probe" / "base" / "pca_pairs.parquet")
    figure = next(figure for figure in layer_figures(run) if figure.name == "pca-correlation")
    assert len(figure.table) == 2 * len(pairs)
    assert not (figure.table["Language"] == "Thai").any()


def test_the_grid_names_every_language_and_draws_intervals(run):
    drawn = svg(lens_grid(lens(), lens_layers()))
    assert all(word in drawn for word in ("English", "Thai", "native answer", "exact word", "entropy (bits)"))


def test_only_changes_whose_intervals_lie_apart_are_coloured():
    drawn = svg(lens_change(lens(), lens(gain=0.3), "reference"))
    assert drawn.count(f'fill="{FADED}"') == 8


def test_figures_are_written_in_every_format(run):
    for table in run.path.glob("probe/*/pca*.parquet"):
        table.unlink()
    written = write_figures(run.path, ["svg", "png", "pdf", "html"])
    assert len(written) == 12
    starts = {"svg": b"<svg", "png": b"\x89PNG", "pdf": b"%PDF", "html": b"<!DOCTYPE html>"}
    for path in written:
        assert path.read_bytes().lstrip().startswith(starts[path.suffix[1:]])
    assert "https://" not in (run.path / "figures" / "lens-change.html").read_text().split("<script")[0]
    assert not list(run.path.rglob("*.partial"))


def test_a_chart_of_many_rows_is_drawn():
    import altair as alt

    rows = pd.DataFrame({"x": range(6_000)})
    found = specification(alt.Chart(rows).mark_point().encode(x="x:Q"))
    assert len(next(iter(found["datasets"].values()))) == 6_000


def test_a_chart_is_packed_without_a_loss():
    rows = [{"a": "x", "b": 1.5, "c": None}, {"a": "y", "b": 2, "c": "x"}, {"a": "x", "b": None, "c": True}]
    columns = packed({"datasets": {"d": rows}})["datasets"]["d"]
    assert columns["a"] == {"words": ["x", "y"], "at": [0, 1, 0]}
    unpacked = {
        key: one if isinstance(one, list) else [one["words"][i] for i in one["at"]] for key, one in columns.items()
    }
    assert [dict(zip(unpacked, row, strict=True)) for row in zip(*unpacked.values(), strict=True)] == rows


def test_an_unknown_format_or_a_folder_that_is_no_run_is_refused(run, tmp_path):
    with pytest.raises(ConfigError, match="figure format 'gif'"):
        write_figures(run.path, ["svg", "gif"])
    assert not (run.path / "figures").exists()
    with pytest.raises(RunError, match="not a run folder"):
        write_figures(tmp_path, ["svg"])
