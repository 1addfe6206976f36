"""Figures of a comparison: change, components, arms, seeds, transfer."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from spillover.stages.compare.comparison_files import read_comparisons
from spillover.stages.report.charts import FADED, svg
from spillover.stages.report.figures.change_figures import (
    change_figure,
    comparison_figures,
    components_figure,
    contrast_figure,
    seeds_figure,
    transfer_figure,
)


@pytest.fixture
def comparison(run):
    return read_comparisons(run.path / "compare")[0]


def test_the_tables_decide_which_figures_there_are(comparison):
    assert list(comparison_figures(comparison, 0.5)) == ["change", "components"]


def test_the_reference_language_is_named_from_data(comparison, monkeypatch):
    assert set(change_figure(comparison, 0.5).table["Kind"]) == {"English", "trained on", "unseen"}
    for module in ("charts", "figures.change_figures"):
        monkeypatch.setattr(f"spillover.stages.report.{module}.reference_language", lambda: "th")
    figure = change_figure(comparison, 0.5)
    assert set(figure.table["Kind"]) == {"Thai", "trained on", "unseen"}
    assert "chance, 50 %" in figure.caption


def test_the_figures_are_of_the_primary_measure(comparison):
    by_auroc = replace(comparison, primary="auroc")
    figure = change_figure(by_auroc, 1 / 3)
    assert figure.title == "Change in AUROC by language, and AUROC before and after"
    assert "chance, 0.5." in figure.caption
    table = figure.table.set_index("Language")
    german = comparison.languages.set_index("language").loc["de"]
    assert table.loc["German", "Change"] == pytest.approx(german["auroc_delta"])
    assert table.loc["German", "AUROC before"] == pytest.approx(german["auroc_before"])
    assert svg(figure.chart).startswith("<svg")


def test_components_add_up_to_the_change(comparison):
    change = change_figure(comparison, None).table.set_index("Language")["Change (points)"]
    components = components_figure(comparison).table.set_index("Language")
    total = components["Label-bias component (points)"] + components["Calibrated component (points)"]
    assert np.allclose(total, change)


def test_without_calibrated_accuracy_there_are_no_components(comparison):
    languages = comparison.languages.assign(calibrated_accuracy_delta=np.nan)
    assert components_figure(replace(comparison, languages=languages)) is None


def test_arms_and_seeds_are_in_points_over_groups(comparison):
    row = {"kind": "all", "group": "all", "metric": "accuracy", "delta": 0.02, "low": -0.01, "high": 0.05}
    contrasts = pd.DataFrame([row | {"against": "shuffled", "holm_p": 0.3, "verdict": "no evidence"}])
    seeds = pd.DataFrame(
        [
            row
            | {"arm": "translate", "deltas": [0.01, 0.03], "seeds": 2, "seed_deviation": 0.01, "verdict": "no evidence"}
        ]
    )
    both = replace(comparison, contrasts=contrasts, seeds=seeds)
    placebo, several = contrast_figure(both), seeds_figure(both)
    assert placebo.table.iloc[0].to_dict()["Difference (points)"] == pytest.approx(2)
    assert several.table.iloc[0].to_dict()["Change (points)"] == pytest.approx(2)
    assert "against shuffled" in svg(placebo.chart)
    assert svg(several.chart).startswith("<svg")


def test_transfer_has_a_cell_per_run_and_language_grey_where_nothing_is_shown(comparison):
    quiet = comparison.languages.assign(verdict=["improved", "no evidence", "underpowered"])
    figure = transfer_figure([("German", replace(comparison, languages=quiet))])
    assert len(figure.table) == 3
    assert svg(figure.chart).count(f'fill="{FADED}"') == 2
