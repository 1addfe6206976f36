from __future__ import annotations

import pytest

from spillover.core.errors import DataError
from spillover.core.files import write_json
from spillover.core.types import Finding
from spillover.stages.audit.findings import reaches, read_findings, refuse_errors, write_findings
from tests.builders import small_data
from tests.stages.audit.builders import audit_folder, change


def test_errors_come_first_and_stop_a_run(tmp_path):
    folder = small_data(tmp_path)
    change(folder, "de", lambda rows: [row | {"label": "gut"} for row in rows])
    change(folder, "en", lambda rows: [rows[0] | {"review": rows[1]["review"]}, *rows[1:]])
    findings = audit_folder(folder)
    order = [("error", "warning", "note").index(finding.severity) for finding in findings]
    assert order == sorted(order)
    assert order[0] == 0
    with pytest.raises(DataError) as caught:
        refuse_errors(findings)
    cause, ceiling = caught.value.message.splitlines()
    assert cause.startswith("sentiment de: 6 items have a label that the task does not")
    assert ceiling == "sentiment en: a perfect model scores 83.3 % (repeated-item-labels)", (
        "shown where no cause is an error"
    )


def test_reaches_counts_what_is_as_bad_or_worse():
    warning = [Finding("x", "warning", "t", "", "m")]
    assert not reaches(warning, "error")
    assert reaches(warning, "warning")
    assert reaches(warning, "note")
    assert not reaches([], "note")


def test_findings_read_back_equal(tmp_path):
    folder = small_data(tmp_path)
    change(folder, "de", lambda rows: rows[1:])
    findings = audit_folder(folder)
    assert findings
    write_findings(tmp_path / "findings.json", findings)
    assert read_findings(tmp_path / "findings.json") == findings


def test_repairs_are_not_written(tmp_path):
    folder = small_data(tmp_path)
    change(folder, "de", lambda rows: [*rows, rows[0]])
    findings = audit_folder(folder)
    assert any(finding.repair for finding in findings)
    write_findings(tmp_path / "findings.json", findings)
    assert not any(finding.repair for finding in read_findings(tmp_path / "findings.json"))


def test_findings_of_earlier_versions_are_read(tmp_path):
    row = {"check": "x", "severity": "note", "task": "t", "language": "de", "message": "m", "example_ids": ["a"]}
    write_json(
        tmp_path / "findings.json", [row | {"mend": "write it again", "facts": {"n": 1}}, row | {"evidence": {}}]
    )
    first, second = read_findings(tmp_path / "findings.json")
    assert (first.suggestion, first.evidence, first.example_ids) == ("write it again", {"n": 1}, ("a",))
    assert second.suggestion == ""
