"""The report of a run folder: its page, whole when stages are missing, and its figures and tables as files."""

from __future__ import annotations

import json
import re
import shutil

import pytest

from spillover.core.errors import ConfigError, DataError, RunError
from spillover.core.runs import open_run
from spillover.stages.report import report
from spillover.stages.report.stage import FigureFormat, parse_formats, write_figures, write_latex


def test_the_page_has_the_verdict_the_languages_and_a_chart(run):
    text = report(run.path).read_text(encoding="utf-8")
    assert "my run" in text
    assert "all 3 languages" in text
    assert all(name in text for name in ("English", "German", "Thai"))
    assert "<svg" in text
    assert "Few items: 24 in a language" in text


def test_a_run_with_nothing_in_it_has_a_page_that_says_so(tmp_path):
    run = open_run(tmp_path / "run")
    run.update()
    text = report(run.path).read_text(encoding="utf-8")
    assert "This run was not compared yet" in text
    assert "No audit" in text


def test_a_folder_that_is_no_run_is_refused(tmp_path):
    with pytest.raises(RunError, match="not a run folder"):
        report(tmp_path)
    assert not (tmp_path / "report.html").exists()


def test_an_unfinished_evaluation_is_left_out(run):
    (run.path / "evaluate" / "base" / "sentiment").mkdir(parents=True)
    assert report(run.path).exists()


@pytest.mark.parametrize(
    "name",
    [
        "audit/findings.json", "compare/languages.parquet", "compare/verdict.json", "evaluate/base/sentiment/de.parquet",
        "probe/base/lens.parquet", "probe/tuned/pca.parquet", "train/steps.jsonl",
    ],
)  # fmt: skip
@pytest.mark.parametrize("content", [b"", b"PAR1 no table", b'[{"a": 1}]'])
def test_a_damaged_file_is_named_and_the_old_page_stays(whole_run, name, content):
    page = whole_run.path / "report.html"
    page.write_text("the old page")
    kept = (whole_run.path / name).read_bytes()
    (whole_run.path / name).write_bytes(content)
    with pytest.raises(DataError, match=re.escape(name)):
        report(whole_run.path)
    assert page.read_text() == "the old page"
    (whole_run.path / name).write_bytes(kept)


def test_several_runs_stand_on_one_page_with_their_transfer(whole_run, tmp_path):
    other = shutil.copytree(whole_run.path, tmp_path / "other")
    target = tmp_path / "both.html"
    assert report(whole_run.path, other, out=target) == target
    text = target.read_text(encoding="utf-8")
    assert "Runs, placebo and seeds" in text
    assert 'id="figure-transfer-sentiment"' in text


def test_figures_are_written_in_every_format(probed_run):
    for table in probed_run.path.glob("probe/*/pca*.parquet"):
        table.unlink()
    written = write_figures(probed_run.path, formats=list(FigureFormat))
    assert len(written) == 8
    starts = {"svg": b"<svg", "png": b"\x89PNG", "pdf": b"%PDF", "html": b"<!DOCTYPE html>"}
    for path in written:
        assert path.read_bytes().lstrip().startswith(starts[path.suffix[1:]])
    assert "https://" not in (probed_run.path / "figures" / "lens-change.html").read_text().split("<script")[0]
    assert not list(probed_run.path.rglob("*.partial"))


def test_formats_are_a_list_of_known_ones():
    assert parse_formats("svg, pdf") == [FigureFormat.SVG, FigureFormat.PDF]
    with pytest.raises(ConfigError, match="figure format 'gif'"):
        parse_formats("svg,gif")


def test_figures_of_a_folder_that_is_no_run_are_refused(tmp_path):
    with pytest.raises(RunError, match="not a run folder"):
        write_figures(tmp_path, formats=[FigureFormat.SVG])


def test_the_tables_for_latex_have_a_row_per_language(whole_run):
    text = write_latex(whole_run.path).read_text(encoding="utf-8")
    assert text.count(r"\begin{tabular}") == text.count(r"\end{tabular}") == 1
    assert re.search(r"^German\* & 24 & ", text, flags=re.MULTILINE)


def test_the_training_curve_is_on_the_page(run):
    steps = run.path / "train" / "steps.jsonl"
    steps.parent.mkdir()
    steps.write_text("".join(json.dumps({"step": i, "loss": 1 / i}) + "\n" for i in range(1, 5)))
    assert "<h2>Training</h2>" in report(run.path).read_text(encoding="utf-8")
