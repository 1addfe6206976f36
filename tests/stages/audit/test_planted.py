"""A fault of each class, planted in one of the demo data's 20 languages: found there, and nothing alarmed elsewhere."""

from __future__ import annotations

import numpy as np
import pytest

from spillover.core.config import AuditConfig
from spillover.core.files import resources
from spillover.stages.audit.stage import audit, write_findings
from tests.stages.audit.faults import CHANGES_SCORES, FOUND_BY, WHOLE_FILE, plant, read_data, write_data

CONFIG = AuditConfig(skip=["wrong-language"])
SUMS = {"oracle-ceiling", "class-balance"}


@pytest.fixture(scope="module")
def nli():
    return read_data(resources() / "demo" / "nli" / "test")


@pytest.mark.parametrize("fault", FOUND_BY)
@pytest.mark.parametrize("language", ["ru", "de"])
def test_a_planted_fault_is_found_where_it_is(fault, language, nli, tmp_path):
    rate = 1.0 if fault in WHOLE_FILE else 0.5 if fault in ("off-by-one lines", "mojibake") else 0.1
    rows, training, damaged = plant(fault, nli, language, "en", rate, np.random.default_rng(3))
    assert damaged
    folder = write_data(tmp_path / "data", "nli", {**nli, language: rows}, {language: training} if training else {})
    findings = [f for f in audit("nli", data=str(folder), config=CONFIG) if f.severity != "note"]
    named = {i for f in findings if f.check in FOUND_BY[fault] and f.language == language for i in f.example_ids}
    assert len(named & set(damaged)) >= 0.5 * len(damaged)
    assert [f for f in findings if f.language != language and f.check not in SUMS] == []
    if fault in CHANGES_SCORES:
        errors = [f for f in findings if f.severity == "error"]
        assert errors
        assert fault == "off-by-one lines" or any(f.ceiling is not None and f.ceiling < 1 for f in errors)
    write_findings(tmp_path / "findings.json", findings)  # evidence is plain JSON


def test_the_generator_is_seeded_and_leaves_its_input_alone(nli):
    before = [dict(row) for row in nli["de"]]
    first, second = (plant("truncated rows", nli, "de", "en", 0.2, np.random.default_rng(1)) for _ in range(2))
    assert first == second
    assert nli["de"] == before


def test_no_warning_on_undamaged_data(tmp_path, nli):
    assert [f for f in audit("nli", config=CONFIG) if f.severity != "note"] == []
