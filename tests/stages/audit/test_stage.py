from __future__ import annotations

import sys

import pytest

from spillover.core.config import AuditConfig
from spillover.core.errors import ConfigError, DataError
from spillover.core.runs import open_run
from spillover.stages.audit import audit, audit_run
from spillover.stages.audit.findings import read_findings
from spillover.stages.audit.stage import UNCHECKED
from spillover.tasks.benchmark import open_benchmark
from spillover.tasks.wording import bundled_tasks, load_task
from tests.builders import small_data, write_rows
from tests.stages.audit.builders import audit_folder, change, findings_by_check


@pytest.mark.parametrize("task", bundled_tasks())
def test_the_demo_data_is_clean(task):
    """Notes say what does not apply to items with answers of their own, and how often the longest is right."""
    findings = [finding for finding in audit(task) if finding.check != UNCHECKED]
    assert [finding for finding in findings if (finding.check, finding.severity) != ("answer-length", "note")] == []


def test_exchanged_labels_are_found_from_the_other_languages(tmp_path):
    folder = small_data(tmp_path)
    swap = {"positive": "negative", "negative": "positive"}
    change(folder, "de", lambda rows: [row | {"label": swap[row["label"]]} for row in rows])
    finding = findings_by_check(folder, "de")["label-permutation"]
    assert finding.severity == "error"
    assert finding.ceiling == 0
    assert len(finding.example_ids) == 6
    assert finding.evidence["mapping"] == swap
    assert not findings_by_check(folder, "en")


def test_labels_that_can_never_match_lower_the_ceiling(tmp_path):
    folder = small_data(tmp_path)
    change(folder, "de", lambda rows: [row | {"label": "gut"} if i < 3 else row for i, row in enumerate(rows)])
    finding = findings_by_check(folder, "de")["unknown-label"]
    assert finding.ceiling == 0.5
    assert "gut" in finding.message
    assert findings_by_check(folder, "de")["oracle-ceiling"].ceiling == 0.5


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
    assert check not in findings_by_check(folder, "de")
    change(folder, "de", edit)
    assert len(findings_by_check(folder, "de")[check].example_ids) == items


def test_identical_sides_are_found(tmp_path):
    row = {"id": "a", "sentence1": "The same.", "sentence2": "the same", "label": "different"}
    for language in ("en", "de"):
        write_rows(tmp_path / "paraphrase" / "test" / f"{language}.jsonl", [row])
    assert "identical-sides" in {finding.check for finding in audit_folder(tmp_path, "paraphrase")}


def test_a_check_can_be_left_out(tmp_path):
    folder = small_data(tmp_path)
    change(folder, "de", lambda rows: rows[2:])
    findings = audit_folder(folder, config=AuditConfig(skip=["missing-item"]))
    assert "missing-item" not in {finding.check for finding in findings}


def test_what_is_tolerated_up_to_a_share_of_the_rows_is_a_note(tmp_path):
    folder = small_data(tmp_path)
    change(folder, "de", lambda rows: rows[2:])
    change(folder, "es", lambda rows: [rows[0] | {"review": rows[1]["review"], "label": "negative"}, *rows[1:]])
    strict = {f.check: f.severity for f in audit_folder(folder) if f.language == "es"}
    assert strict["repeated-item"] == "warning"
    for share, severity in ((0.34, "note"), (0.3, "warning")):
        config = AuditConfig(tolerate={"repeated-item": share})
        findings = audit_folder(folder, config=config)
        assert {f.check: f.severity for f in findings if f.language == "es"} == strict | {"repeated-item": severity}
        assert next(f for f in findings if f.check == "missing-item").severity == "error"


def test_without_lingua_a_note_says_what_was_not_checked(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "lingua", None)
    (note,) = audit_folder(small_data(tmp_path))
    assert note.severity == "note"
    assert "spillover[audit]" in note.suggestion


def test_progress_moves_within_a_language_and_ends_at_its_total(tmp_path):
    seen = []
    audit_folder(small_data(tmp_path), progress=lambda _, done, total: seen.append((done, total)))
    assert [done for done, _ in seen] == list(range(1, seen[-1][1] + 1))
    assert seen[-1][1] > 10 * len(list((tmp_path / "sentiment" / "test").glob("*")))


def german(folder):
    return folder / "sentiment" / "test" / "de.jsonl"


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda raw: raw + b'{"id": "x", "review": "caf\xe9", "label": "positive"}\n', r"de\.jsonl:7: not UTF-8"),
        (lambda raw: raw[:-30], r"de\.jsonl:6: broken JSON"),
        (lambda raw: raw + b'{"id": "x", "review": "' + b"a" * (50 << 20) + b'"}\n', r"de\.jsonl:7: a line of more than 16 MB"),
        (lambda raw: raw + b"[" * 100_000 + b"\n", r"de\.jsonl:7: broken JSON"),
        (lambda raw: b"", r"de\.jsonl: the file is empty"),
        (lambda raw: raw + b'{"id": "x", "review": 5, "label": "positive"}\n', r"de\.jsonl:7: no review"),
    ],
    ids=["latin-1", "half a line", "50 MB line", "nested", "empty", "number"],
)  # fmt: skip
def test_a_broken_file_is_named_with_its_line(damage, message, tmp_path):
    folder = small_data(tmp_path)
    german(folder).write_bytes(damage(german(folder).read_bytes()))
    with pytest.raises(DataError, match=message):
        audit_folder(folder)


def test_a_link_out_of_the_folder_is_refused(tmp_path):
    folder = small_data(tmp_path / "data")
    outside = tmp_path / "secret.jsonl"
    german(folder).rename(outside)
    german(folder).symlink_to(outside)
    with pytest.raises(DataError, match="a link out of the data folder"):
        audit_folder(folder)


def test_a_link_inside_the_folder_is_fine(tmp_path):
    folder = small_data(tmp_path / "data")
    german(folder).rename(folder / "de-original.jsonl")
    german(folder).symlink_to(folder / "de-original.jsonl")
    assert audit_folder(folder) == []


def test_a_language_without_wording_is_left_out_and_named_in_a_note(tmp_path):
    folder = small_data(tmp_path, ("en", "de", "fi"))
    (note,) = audit_folder(folder)
    assert (note.check, note.severity, note.language) == ("missing-wording", "note", "fi")
    assert audit_folder(folder, languages="en") == []
    with pytest.raises(ConfigError, match="no wording for fi"):
        audit_folder(folder, languages="en,fi")


def test_a_folder_without_the_task_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"no nli/test/<language>\.jsonl"):
        audit_folder(small_data(tmp_path), "nli")


def test_the_stage_writes_the_findings_of_all_tasks(tmp_path):
    folder = small_data(tmp_path / "data")
    change(folder, "de", lambda rows: rows[1:])
    run = open_run(tmp_path / "run")
    benchmarks = [open_benchmark("sentiment", data=str(folder)), open_benchmark("nli")]
    findings = audit_run(run, benchmarks)
    assert read_findings(tmp_path / "run" / "audit" / "findings.json") == findings
    assert run.manifest()["stages"]["audit"]["state"] == "done"
    assert {finding.task for finding in findings} == {"sentiment"}
