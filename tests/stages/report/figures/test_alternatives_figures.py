from __future__ import annotations

import numpy as np
import pytest

from spillover.core.runs import open_run
from spillover.stages.alternatives.result_files import FOLDER, write_alternatives
from spillover.stages.alternatives.rows import Row, RowKind
from spillover.stages.alternatives.table import alternatives_of
from spillover.stages.report.content import page_content, run_figures
from spillover.stages.report.figures.alternatives_figures import alternatives_figure, drawn_rows
from spillover.stages.report.stage import report
from tests.stages.alternatives.builders import quality, scored_rows


@pytest.fixture(scope="module")
def result():
    gains = {"shots": 0.3, "shots_null": 0.0, "tuned": 1.0, "tuned_null": 0.2}
    return alternatives_of(scored_rows(np.random.default_rng(0), n=60, **gains), seen=["de"])


def test_a_null_stands_under_its_row_and_the_reference_is_the_line(result):
    rows = drawn_rows(result)
    assert list(zip(rows["row"], rows["method"], rows["place"], strict=True)) == [
        ("base", "base", 0), ("shots", "shots", 0), ("tuned", "tuned", 0), ("shots_null", "shots", 1),
        ("tuned_null", "tuned", 1),
    ]  # fmt: skip
    unseen = result.of_group("unseen").set_index("row")
    assert rows.set_index("row")["delta"]["tuned"] == unseen["auroc_delta"]["tuned"]


def test_the_figure_says_what_it_is_against(result):
    figure = alternatives_figure(result)
    assert figure.name == "alternatives-sentiment"
    assert "from the calibrated base" in figure.caption
    assert "the unseen languages" in figure.caption
    assert set(figure.table["Kind"]) == {"reference", "free", "trained", "null"}


def test_the_page_has_the_verdict_the_figure_and_the_table(result, tmp_path):
    run = open_run(tmp_path / "run")
    run.update(name="mine")
    assert page_content([run])["alternatives"] == []
    write_alternatives(run.path / FOLDER, [result])
    page = report(run.path).read_text(encoding="utf-8")
    assert '<section id="alternatives">' in page
    assert "tuning beats every free alternative by" in page
    assert page.count('data-chart="alternatives-sentiment"') == 1
    assert [figure.name for figure in run_figures(run)] == ["alternatives-sentiment"]


def test_the_page_shows_the_translations_and_a_row_without_numbers_with_its_reason(tmp_path):
    scored = scored_rows(np.random.default_rng(0), n=60, self_translate=0.1, self_translate_null=0.0)
    left_out = [Row("translate-test", RowKind.FREE, "translate-test", reason="needs a <translator>")]
    tables = {"self_translate": quality(), "other": quality(("de",), chrf=np.nan, reason="x is not <parallel>")}
    result = alternatives_of(scored, left_out=left_out, translations=tables)
    assert "translate-test" not in set(drawn_rows(result)["row"])
    run = open_run(tmp_path / "run")
    run.update(name="mine")
    write_alternatives(run.path / FOLDER, [result])
    page = report(run.path).read_text(encoding="utf-8")
    assert "translate-test has no numbers: needs a &lt;translator&gt;." in page
    assert "<h4>The translations</h4>" in page
    assert '<td data-v="31.25">31.2</td><td data-v="17.5">17.5</td><td data-v="120">120</td>' in page
    assert "No chrF: <bdi>x is not &lt;parallel&gt;</bdi>." in page
    assert "<translator>" not in page
