"""A primary measure is declared before there are scores, and not afterwards."""

from __future__ import annotations

import numpy as np
import pytest

from spillover.core.config import CompareConfig
from spillover.core.declared_measure import Declaration, declare_measure, declared_measure
from spillover.core.errors import RunError
from spillover.core.runs import open_run
from tests.builders import evaluation, write_evaluation

ACCURACY = CompareConfig(primary="accuracy")


def scored(run):
    run.update()
    write_evaluation(run, "base", evaluation({"en": np.arange(4) < 2}))
    return run


def test_a_run_without_scores_takes_what_is_asked_for_last(tmp_path):
    run = open_run(tmp_path / "run")
    assert declared_measure(run) is None
    declare_measure(run, CompareConfig())
    assert declared_measure(run) == Declaration("auto", None)
    declare_measure(run, CompareConfig(primary="auroc", fallback="accuracy"))
    assert declared_measure(run) == Declaration("auroc", "accuracy")
    assert run.manifest()["primary"] == {"primary": "auroc", "fallback": "accuracy"}
    declare_measure(run, CompareConfig())
    assert declared_measure(run) == Declaration("auroc", "accuracy"), "auto takes no declaration back"
    assert (run.path / "log.jsonl").read_text().count('"declared"') == 2


def test_a_run_with_scores_keeps_its_measure(tmp_path):
    run = open_run(tmp_path / "run")
    declare_measure(run, ACCURACY)
    scored(run)
    declare_measure(run, ACCURACY)
    declare_measure(run, CompareConfig())
    assert declared_measure(run) == Declaration("accuracy", None)
    with pytest.raises(RunError, match=r"declares compare\.primary accuracy, and has scores already") as caught:
        declare_measure(run, CompareConfig(primary="auroc"))
    assert "--primary auroc" in caught.value.hint


def test_scores_without_a_declaration_stay_without_one(tmp_path):
    run = scored(open_run(tmp_path / "run"))
    declare_measure(run, CompareConfig())
    assert declared_measure(run) is None
    with pytest.raises(RunError, match="declares no primary measure"):
        declare_measure(run, ACCURACY)
