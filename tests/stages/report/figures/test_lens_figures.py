"""Figures of the logit lens from tables alone."""

from __future__ import annotations

from spillover.core.runs import open_run
from spillover.stages.report.charts import FADED, SOLID, svg, with_names
from spillover.stages.report.figures.lens_figures import (
    REFERENCE,
    change_chart,
    lens_changes,
    lens_curves,
    lens_figures,
    lens_grid,
    model_dashes,
)
from tests.stages.report.builders import lens, lens_layers


def test_the_tables_decide_which_figures_there_are(probed_run, tmp_path):
    assert lens_figures(open_run(tmp_path / "none")) == []
    names = [figure.name for figure in lens_figures(probed_run)]
    assert names == ["lens", "lens-change"]


def test_the_grid_names_every_language_and_draws_intervals():
    drawn = svg(lens_grid(of_model("base", lens()), of_model("base", lens_layers())))
    assert all(word in drawn for word in ("English", "Thai", "native answer", "random tokens", "entropy (bits)"))
    assert 'stroke-dasharray="4,2"' not in drawn, "one model has one kind of line"


def of_model(name, rows):
    return with_names(rows).assign(model=name)


def test_base_and_tuned_are_lines_of_one_figure_that_differ_in_dash(probed_run):
    figure = lens_figures(probed_run)[0]
    assert set(figure.table["Model"]) == {"base", "tuned"}
    drawn = svg(figure.chart)
    assert all(f">{name}</text>" in drawn for name in ("base", "tuned"))
    assert 'stroke-dasharray="4,2"' in drawn
    assert "Dashed: base; solid: tuned." in figure.caption
    assert "English answer in 4 of 4 → 4 of 4 languages" in figure.caption


def test_words_that_share_their_first_token_have_a_line_of_the_whole_word():
    curves = lens_curves(of_model("base", lens()))
    thai = curves[(curves["name"] == "Thai") & (curves["words"] == "native answer")]
    assert set(thai["measure"]) == {"whole word"}
    assert len(thai) == 3
    assert set(curves.loc[curves["name"] == "German", "measure"]) == {"first token"}


def test_each_model_has_a_dash_of_its_own():
    assert model_dashes(["base"]) == {"base": SOLID}
    dashes = model_dashes(["base", "tuned", "steered", "merged"])
    assert dashes["tuned"] == SOLID
    assert len({tuple(dash) for dash in dashes.values()}) == 4


def test_the_wrong_answer_stands_beside_the_right_one_where_the_table_has_it():
    rows = of_model("base", lens())
    assert "wrong English answer" not in set(lens_curves(rows)["words"])
    curves = lens_curves(rows.assign(wrong=0.2))
    assert (curves["words"] == "wrong English answer").sum() == 4 * 3


def test_only_changes_with_separate_intervals_are_coloured():
    drawn = svg(change_chart(lens_changes(with_names(lens()), with_names(lens(gain=0.3)), REFERENCE)))
    assert drawn.count(f'fill="{FADED}"') == 8


def test_a_rounding_of_a_tiny_probability_is_no_change():
    columns = ["answer", "answer_low", "answer_high"]
    before, after = (with_names(lens(gain=gain)) for gain in (0.0, 0.3))
    assert lens_changes(before, after, REFERENCE)["shown"].any()
    before[columns], after[columns] = before[columns] * 1e-6, after[columns] * 1e-6
    assert not lens_changes(before, after, REFERENCE)["shown"].any()
