"""Figures of the logit lens from tables alone."""

from __future__ import annotations

from spillover.core.runs import open_run
from spillover.stages.report.charts import FADED, svg, with_names
from spillover.stages.report.figures.lens_figures import REFERENCE, change_chart, lens_changes, lens_figures, lens_grid
from tests.stages.report.builders import lens, lens_layers


def test_the_tables_decide_which_figures_there_are(probed_run, tmp_path):
    assert lens_figures(open_run(tmp_path / "none")) == []
    names = [figure.name for figure in lens_figures(probed_run)]
    assert names == ["lens-base", "lens-tuned", "lens-change"]


def test_the_grid_names_every_language_and_draws_intervals():
    drawn = svg(lens_grid(with_names(lens()), with_names(lens_layers())))
    assert all(word in drawn for word in ("English", "Thai", "native answer", "exact word", "entropy (bits)"))


def test_only_changes_with_separate_intervals_are_coloured():
    drawn = svg(change_chart(lens_changes(with_names(lens()), with_names(lens(gain=0.3)), REFERENCE)))
    assert drawn.count(f'fill="{FADED}"') == 8
