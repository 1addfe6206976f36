"""Run folders that the tests of the report share."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from spillover.core.config import CompareConfig
from spillover.core.runs import open_run
from spillover.stages.compare import compare_run
from tests.builders import evaluation, random_hits, write_evaluation
from tests.stages.report.builders import make_run, probe


@pytest.fixture
def run(tmp_path):
    """Compared, in three languages; nothing else."""
    run = open_run(tmp_path / "run")
    run.update(name="my run")
    rng = np.random.default_rng(0)
    for name, share in (("base", 0.4), ("tuned", 0.7)):
        hits = {code: random_hits(rng, share, 24) for code in ("en", "de", "th")}
        write_evaluation(run, name, evaluation(hits))
    compare_run(run, seen=["de"], config=CompareConfig(draws=50, primary="accuracy"))
    shutil.rmtree(run.path / "evaluate")
    return run


@pytest.fixture
def probed_run(tmp_path):
    """With the tables of the probe alone, of two models."""
    run = open_run(tmp_path / "probed")
    run.update(name="mine")
    probe(run.path / "probe" / "base")
    probe(run.path / "probe" / "tuned", gain=0.3)
    return run


@pytest.fixture(scope="module")
def whole_run(tmp_path_factory):
    """Every stage, every table."""
    return make_run(tmp_path_factory.mktemp("whole") / "run")
