"""Figures of lens and PCA from tables alone, on the page and as files."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from spillover.core.errors import ConfigError, RunError
from spillover.core.runs import open_run
from spillover.report.charts import svg
from spillover.report.figures import layer_figures, write_figures
from spillover.report.layer_charts import FADED, lens_change, lens_grid

CODES, LAYERS = ("en", "hi"), range(3)


def with_interval(name, values):
    return {name: values, f"{name}_low": values - 0.05, f"{name}_high": values + 0.05}


def lens(gain=0.0):
    rows = pd.DataFrame(
        [(code, layer, words) for code in CODES for layer in LAYERS for words in ("reference", "native")],
        columns=["language", "layer", "words"],
    )
    values = 0.1 + 0.2 * rows["layer"]
    for name in ("answer", "answer_sequence", "random"):
        rows = rows.assign(**with_interval(name, values + gain * (rows["layer"] == 2)))
    rows.loc[(rows["language"] == "hi") & (rows["words"] == "native"), ["answer", "answer_low", "answer_high"]] = np.nan
    return rows.assign(rank=3.0, shared_tokens=0, n=4, answer_clears=True, reason="")


def layers():
    rows = pd.DataFrame([(code, layer) for code in CODES for layer in LAYERS], columns=["language", "layer"])
    return rows.assign(**with_interval("entropy", 8.0 - rows["layer"]))


def save(folder, gain=0.0):
    folder.mkdir(parents=True)
    lens(gain).to_parquet(folder / "lens.parquet")
    layers().to_parquet(folder / "lens_layers.parquet")
    rng = np.random.default_rng(0)
    points = [
        {"pooling": pooling, "layer": layer, "language": code, "example_id": f"i{i}", "pc1": x, "pc2": y}
        for pooling in ("all", "mean") for layer in LAYERS for code in CODES for i, (x, y) in enumerate(rng.normal(size=(4, 2)))
    ]  # fmt: skip
    pd.DataFrame(points).to_parquet(folder / "pca.parquet")
    pairs = [
        {"pooling": pooling, "layer": layer, "language": "en", "other": "hi", "correlation": 0.9, "length": 0.8}
        | {"centred": 0.6, "residual": 0.3, "shuffled": -0.1}
        for pooling in ("all", "mean") for layer in LAYERS
    ]  # fmt: skip
    pd.DataFrame(pairs).to_parquet(folder / "pca_pairs.parquet")


@pytest.fixture
def run(tmp_path):
    run = open_run(tmp_path / "run")
    run.update(name="mine")
    save(run.path / "probe" / "base")
    save(run.path / "probe" / "tuned", gain=0.3)
    return run


def test_the_tables_decide_which_figures_there_are(run, tmp_path):
    assert layer_figures(open_run(tmp_path / "none")) == []
    names = [figure.name for figure in layer_figures(run)]
    assert names == ["lens-base", "lens-tuned", "lens-change", "pca-correlation", "pca-all", "pca-mean"]


def test_the_grid_names_every_language_and_draws_intervals(run):
    drawn = svg(lens_grid(lens(), layers()))
    assert all(word in drawn for word in ("English", "Hindi", "native answer", "exact word", "entropy (bits)"))


def test_only_changes_whose_intervals_lie_apart_are_coloured():
    drawn = svg(lens_change(lens(), lens(gain=0.3), "reference"))
    assert drawn.count(f'fill="{FADED}"') == 4


def test_figures_are_written_in_every_format(run):
    written = write_figures(run.path, ["svg", "png", "pdf", "html"])
    assert len(written) == 24
    starts = {"svg": b"<svg", "png": b"\x89PNG", "pdf": b"%PDF", "html": b"<!DOCTYPE html>"}
    for path in written:
        assert path.read_bytes().lstrip().startswith(starts[path.suffix[1:]])
    assert "https://" not in (run.path / "figures" / "lens-change.html").read_text().split("<script")[0]
    assert not list(run.path.rglob("*.partial"))


def test_an_unknown_format_or_a_folder_that_is_no_run_is_refused(run, tmp_path):
    with pytest.raises(ConfigError, match="figure format 'gif'"):
        write_figures(run.path, ["svg", "gif"])
    assert not (run.path / "figures").exists()
    with pytest.raises(RunError, match="no run here"):
        write_figures(tmp_path, ["svg"])
