"""The tables of a comparison on disk: their declared columns, read back equal."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
import pytest

from spillover.core.errors import RunError
from spillover.core.runs import open_run
from spillover.core.tables import check_columns
from spillover.stages.compare import compare_run, read_comparisons
from spillover.stages.compare.all_tasks import with_all_tasks
from spillover.stages.compare.comparison_files import TABLES, write_comparisons
from spillover.stages.compare.stage import compare_arms
from tests.builders import write_evaluation
from tests.stages.compare.builders import QUICK, planted_sides, runs_of

ARMS = ("translate", 0, 0.4), ("translate", 1, 0.3), ("copy", 0, 0.1)


def test_a_comparison_reads_back_equal(tmp_path):
    run = open_run(tmp_path / "run")
    run.update()
    for name, side in zip(("base", "tuned"), planted_sides((1.5, 2.4), (0, 0), n=60), strict=True):
        write_evaluation(run, name, side)
    (written,) = compare_run(run, seen=["de"], config=QUICK)
    (read,) = read_comparisons(run.path / "compare")
    assert read.languages.equals(written.languages)
    assert read.groups.equals(written.groups)
    assert (read.verdict, read.seen, read.guard) == (written.verdict, ("de",), written.guard)
    assert read.contrasts is None


def test_the_written_tables_have_their_declared_columns(tmp_path):
    comparison = compare_arms(runs_of(*ARMS, n=40), config=QUICK)
    write_comparisons(tmp_path, with_all_tasks([comparison, replace(comparison, task="nli")], QUICK))
    for name, columns in TABLES.items():
        check_columns(pd.read_parquet(tmp_path / f"{name}.parquet"), columns)
    read, other = read_comparisons(tmp_path)
    assert (read.task, other.task) == ("sentiment", "nli")
    assert read.contrasts.equals(comparison.contrasts)
    assert read.verdict[0] == comparison.verdict[0]


def test_a_folder_without_a_comparison_is_refused(tmp_path):
    with pytest.raises(RunError, match="nothing compared yet"):
        read_comparisons(tmp_path)
