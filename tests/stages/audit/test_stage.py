from __future__ import annotations

import json
import sys

import pytest

from spillover.core.config import AuditConfig
from spillover.core.errors import ConfigError, DataError
from spillover.core.types import Finding
from spillover.stages.audit.stage import CHECKS, audit, reaches, read_findings, refuse_errors, write_findings
from spillover.tasks.wording import load_task
from tests.builders import small_data, write_rows


def found(folder, language):
    return {f.check: f for f in audit("sentiment", data=str(folder)) if f.language == language}


def change(folder, language, edit):
    path = folder / "sentiment" / "test" / f"{language}.jsonl"
    write_rows(path, edit([json.loads(line) for line in path.read_text().splitlines()]))


@pytest.mark.parametrize("task", ["sentiment", "nli", "paraphrase"])
def test_the_demo_data_is_clean(task):
    assert audit(task) == []


def test_exchanged_labels_are_found_from_the_other_languages(tmp_path):
    folder = small_data(tmp_path)
    swap = {"positive": "negative", "negative": "positive"}
    change(folder, "de", lambda rows: [row | {"label": swap[row["label"]]} for row in rows])
    finding = found(folder, "de")["label-permutation"]
    assert finding.severity == "error"
    assert finding.ceiling == 0
    assert len(finding.example_ids) == 6
    assert finding.evidence["mapping"] == swap
    assert not found(folder, "en")


def test_labels_that_can_never_match_lower_the_ceiling(tmp_path):
    folder = small_data(tmp_path)
    change(folder, "de", lambda rows: [row | {"label": "gut"} if i < 3 else row for i, row in enumerate(rows)])
    finding = found(folder, "de")["unknown-label"]
    assert finding.ceiling == 0.5
    assert "gut" in finding.message
    assert found(folder, "de")["oracle-ceiling"].ceiling == 0.5


@pytest.mark.parametrize(
    ("check", "edit", "items"),
    [
        ("missing-item", lambda rows: rows[2:], 2),
        ("repeated-id", lambda rows: [*rows, rows[0]], 1),
        ("repeated-item", lambda rows: [rows[0] | {"review": rows[1]["review"].upper()}, *rows[1:]], 2),
        ("empty-field", lambda rows: [rows[0] | {"review": " "}, *rows[1:]], 1),
        ("untranslated", lambda rows: [rows[0] | {"review": "review 0 in en"}, *rows[1:]], 1),
        ("shot-in-test", lambda rows: [rows[0] | {"review": load_task("sentiment").wordings["de"].shots["sentiment-shot-1"]["review"]}, *rows[1:]], 1),
    ],
)  # fmt: skip
def test_each_check_finds_its_fault_and_names_the_rows(tmp_path, check, edit, items):
    folder = small_data(tmp_path)
    assert check not in found(folder, "de")
    change(folder, "de", edit)
    assert len(found(folder, "de")[check].example_ids) == items


def test_identical_sides_are_found(tmp_path):
    row = {"id": "a", "sentence1": "The same.", "sentence2": "the same", "label": "different"}
    for language in ("en", "de"):
        write_rows(tmp_path / "paraphrase" / "test" / f"{language}.jsonl", [row])
    assert "identical-sides" in {finding.check for finding in audit("paraphrase", data=str(tmp_path))}


def test_errors_come_first_and_stop_a_run(tmp_path):
    folder = small_data(tmp_path)
    change(folder, "de", lambda rows: [row | {"label": "gut"} for row in rows])
    change(folder, "en", lambda rows: [rows[0] | {"review": rows[1]["review"]}, *rows[1:]])
    findings = audit("sentiment", data=str(folder))
    order = [("error", "warning", "note").index(finding.severity) for finding in findings]
    assert order == sorted(order)
    assert order[0] == 0
    with pytest.raises(DataError) as caught:
        refuse_errors(findings)
    cause, ceiling = caught.value.message.splitlines()
    assert cause.startswith("sentiment de: 6 items have a label that the task does not")
    assert ceiling == "sentiment en: a perfect model scores 83.3 % (repeated-item-labels)", (
        "told where no cause is an error"
    )


def test_every_check_says_what_it_sees_and_what_it_does_not():
    for check, function in CHECKS.items():
        text = function.__doc__ or ""
        assert len(text.splitlines()) > 1 or "annot" in text or "nobody" in text, check


def test_a_check_can_be_left_out_and_a_wrong_name_is_said(tmp_path):
    folder = small_data(tmp_path)
    change(folder, "de", lambda rows: rows[2:])
    findings = audit("sentiment", data=str(folder), config=AuditConfig(skip=["missing-item"]))
    assert "missing-item" not in {finding.check for finding in findings}
    with pytest.raises(ConfigError, match="no check birds"):
        audit("sentiment", data=str(folder), config=AuditConfig(skip=["birds"]))


def test_what_is_tolerated_up_to_a_share_of_the_rows_is_a_note(tmp_path):
    folder = small_data(tmp_path)
    change(folder, "de", lambda rows: rows[2:])
    change(folder, "es", lambda rows: [rows[0] | {"review": rows[1]["review"], "label": "negative"}, *rows[1:]])
    strict = {f.check: f.severity for f in audit("sentiment", data=str(folder)) if f.language == "es"}
    assert strict["repeated-item"] == "warning"
    for share, severity in ((0.34, "note"), (0.3, "warning")):
        config = AuditConfig(tolerate={"repeated-item": share})
        findings = audit("sentiment", data=str(folder), config=config)
        assert {f.check: f.severity for f in findings if f.language == "es"} == strict | {"repeated-item": severity}
        assert next(f for f in findings if f.check == "missing-item").severity == "error"
    with pytest.raises(ConfigError, match=r"audit.tolerate: no check birds"):
        audit("sentiment", data=str(folder), config=AuditConfig(tolerate={"birds": 0.1}))


def test_without_lingua_a_note_says_what_was_not_checked(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "lingua", None)
    (note,) = audit("sentiment", data=str(small_data(tmp_path)))
    assert note.severity == "note"
    assert "spillover[audit]" in note.mend


def test_reaches_counts_what_is_as_bad_or_worse():
    warning = [Finding("x", "warning", "t", "", "m")]
    assert not reaches(warning, "error")
    assert reaches(warning, "warning")
    assert reaches(warning, "note")
    assert not reaches([], "note")


def test_findings_read_back_equal(tmp_path):
    folder = small_data(tmp_path)
    change(folder, "de", lambda rows: rows[1:])
    findings = audit("sentiment", data=str(folder))
    assert findings
    write_findings(tmp_path / "findings.json", findings)
    assert read_findings(tmp_path / "findings.json") == findings


def test_progress_moves_within_a_language_and_ends_at_its_total(tmp_path):
    seen = []
    audit("sentiment", data=str(small_data(tmp_path)), progress=lambda _, done, total: seen.append((done, total)))
    assert [done for done, _ in seen] == list(range(1, seen[-1][1] + 1))
    assert seen[-1][1] > 10 * len(list((tmp_path / "sentiment" / "test").glob("*")))
