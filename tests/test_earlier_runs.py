"""A run folder written before keys were renamed is read as if it had been written today.

tests/data/run-before.zip: 6 sentiment items in en, de and es on a random 2-layer model, with training evaluated while it
ran and one finding of the audit; without weights, states and page.
"""

from __future__ import annotations

import zipfile
from pathlib import Path

import pandas as pd
import pytest

from spillover.cli import main
from spillover.core.config import load_config
from spillover.stages.audit.findings import read_findings
from spillover.stages.report import report
from spillover.stages.report.figures.training_figures import EVALUATION, training_figures

TABLES = ["languages", "groups", "items"]


@pytest.fixture
def earlier_run(tmp_path) -> Path:
    with zipfile.ZipFile(Path(__file__).parent / "data" / "run-before.zip") as archive:
        archive.extractall(tmp_path)
    return tmp_path / "run-before"


def test_the_fixture_holds_names_of_before(earlier_run):
    assert '"mend"' in (earlier_run / "audit" / "findings.json").read_text()
    assert "watch_items: 4" in (earlier_run / "config.yaml").read_text()
    assert "guard: english" in (earlier_run / "config.yaml").read_text()
    assert '"watch"' in (earlier_run / "train" / "steps.jsonl").read_text()


def test_its_config_loads_under_the_names_of_today(earlier_run):
    config = load_config(earlier_run / "config.yaml")
    assert (config.train.eval_items, config.train.eval_reference_items) == (4, 6)
    assert config.train.eval_languages == ["en", "de", "es"]
    assert (config.train.guard, config.train.best) == ("reference", "auroc.reference")
    assert config.audit.thresholds.ceiling == 0.98


def test_its_findings_are_read(earlier_run):
    (finding,) = read_findings(earlier_run / "audit" / "findings.json")
    assert finding.suggestion == "`--fix` reads them again"


def test_it_is_compared_again_with_the_same_numbers(earlier_run):
    before = {name: pd.read_parquet(earlier_run / "compare" / f"{name}.parquet") for name in TABLES}
    with pytest.raises(SystemExit) as exit_of_command:
        main(["compare", str(earlier_run), "--primary", "accuracy", "--set", "compare.draws=200"])
    assert not exit_of_command.value.code
    for name, table in before.items():
        again = pd.read_parquet(earlier_run / "compare" / f"{name}.parquet")
        pd.testing.assert_frame_equal(again[list(table)], table)  # later versions have more columns


def test_its_page_shows_findings_and_what_was_measured_while_it_trained(earlier_run):
    page = report(earlier_run).read_text(encoding="utf-8")
    assert "reads them again" in page
    assert EVALUATION in page
    steps = earlier_run / "train" / "steps.jsonl"
    (evaluation,) = [figure.table for figure in training_figures(steps) if figure.caption == EVALUATION]
    assert set(evaluation["Measure"]) == {"AUROC", "calibrated accuracy", "MEXA"}
