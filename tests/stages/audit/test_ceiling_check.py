from __future__ import annotations

import pytest

from spillover.core.config import AuditThresholds
from spillover.core.types import Finding
from spillover.stages.audit.ceiling_check import AuditSummary, oracle_ceiling
from spillover.stages.audit.profile import LanguageProfiles
from spillover.tasks.wording import load_task
from tests.stages.audit.builders import language_rows


def ceilings(*findings):
    languages = LanguageProfiles(load_task("sentiment"), AuditThresholds(), "en")
    for code in ("en", "de"):
        languages.add(language_rows(code, [f"text {i}" for i in range(100)]))
    return {fault.language: fault for fault in oracle_ceiling(AuditSummary(languages, findings))}


def finding(check, ids, ceiling, **more):
    return Finding(check, "error", "sentiment", "de", "", tuple(map(str, ids)), ceiling=ceiling, **more)


def test_rows_lost_to_several_findings_count_once():
    faults = ceilings(finding("label-disagrees", range(10), 0.9), finding("unknown-label", range(5, 20), 0.85))
    assert set(faults) == {"de"}
    assert faults["de"].ceiling == pytest.approx(0.8)
    assert faults["de"].evidence["from"] == ["label-disagrees", "unknown-label"]


def test_a_small_loss_is_a_note():
    assert ceilings(finding("label-disagrees", [1], 0.99))["de"].severity == "note"
    assert ceilings(finding("label-disagrees", range(10), 0.9))["de"].severity is None


def test_shifted_rows_count_by_the_labels_that_stayed():
    assert ceilings(finding("shifted-items", range(50), 0.75))["de"].ceiling == 0.75


def test_what_leaves_the_score_alone_or_is_in_another_split_does_not_count():
    assert ceilings(finding("mojibake", range(9), None), finding("unknown-label", [1], 0.5, split="train")) == {}
