"""Several runs on one page: a row for each run and task, transfer for each task."""

from __future__ import annotations

import shutil

from spillover.core.runs import Run, open_run
from spillover.stages.report.multi_run import runs_table, transfer_figures


def test_a_run_that_was_not_compared_has_a_row_without_an_answer(run, tmp_path):
    other = open_run(tmp_path / "other")
    other.update(name="not compared")
    compared, not_compared = runs_table([run, other])
    assert compared["task"] == "sentiment"
    assert compared["answer"]
    assert not_compared == {
        "name": "not compared", "trained_on": "", "arm": "", "seed": "", "task": "", "answer": "", "change": "",
    }  # fmt: skip


def test_transfer_needs_two_compared_runs_and_names_each_once(run, tmp_path):
    assert transfer_figures([run]) == []
    other = Run(shutil.copytree(run.path, tmp_path / "other"))
    (figure,) = transfer_figures([run, other])
    assert figure.table["Trained on"].nunique() == 2
