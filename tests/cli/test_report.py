from __future__ import annotations

from tests.cli.builders import made_run


def test_the_page_is_written_where_it_is_asked_for_and_named(tmp_path, call):
    run = made_run(tmp_path / "run")
    assert call("compare", run, "--set", "compare.draws=20")[0] == 0
    code, out, _ = call("report", run, "--out", tmp_path / "page.html", "--title", "Mine", "--latex")
    assert code == 0
    assert out.splitlines() == [f"wrote {tmp_path / 'page.html'}", f"wrote {run / 'tables.tex'}"]
    assert "<title>Mine · spillover</title>" in (tmp_path / "page.html").read_text(encoding="utf-8")
    assert not (run / "report.html").exists()


def test_mistakes_are_found_before_the_page_is_written(tmp_path, call):
    run = made_run(tmp_path / "run")
    for arguments, message in (
        (("--figures", "bmp"), "bmp"),
        (("--licence", "mit"), "--licence requires --model-card"),
    ):
        code, out, err = call("report", run, *arguments)
        assert (code, out) == (2, "")
        assert message in err
    assert not (run / "report.html").exists()


def test_a_folder_that_is_no_run_is_named(tmp_path, call):
    code, _, err = call("report", tmp_path)
    assert code == 3
    assert "not a run folder" in err
