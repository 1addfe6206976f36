"""The audit of choices and pairs: what it finds, and what it says it cannot."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from spillover.core.config import AuditConfig
from spillover.stages.audit.own_answers import as_audited
from spillover.stages.audit.repaired_copy import write_repaired_copy
from spillover.stages.audit.stage import audit
from spillover.tasks.benchmark import open_benchmark
from spillover.tasks.examples import read_rows
from spillover.tasks.wording import load_task
from tests.builders import KIND_DATA, kind_task


class WordCounter:
    """Words as tokens."""

    name, context = "words", 40

    def lengths(self, texts):
        return [len(text.split()) for text in texts]

    def label_tokens(self, prompt):
        raise AssertionError("label words alone")


def findings_of(task, data=KIND_DATA, **options):
    benchmark = open_benchmark(kind_task(task), data=str(data))
    return {finding.check: finding for finding in audit(benchmark, config=AuditConfig(), **options)}


def changed_data(tmp_path, task, code, changes):
    """A copy of the data in which the rows with these numbers are changed."""
    shutil.copytree(KIND_DATA, tmp_path / "data")
    path = tmp_path / "data" / task / "test" / f"{code}.jsonl"
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    for number, change in changes.items():
        rows[number] |= change
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return tmp_path / "data"


@pytest.mark.parametrize("task", ["reading", "agreement"])
def test_what_is_not_defined_is_said_and_nothing_is_an_error(task):
    findings = findings_of(task, tokenizer=WordCounter())
    assert not [
        finding for finding in findings.values() if finding.severity == "error" and finding.check != "over-context"
    ]
    note = findings["not-checked"]
    assert f"not defined for {'choices' if task == 'reading' else 'pairs'}" in note.message
    assert "equal-label-words" in note.message
    assert "class-balance" not in findings


def test_answers_that_cannot_be_scored_are_listed(tmp_path):
    changes = {0: {"choices": ["da", "da"]}, 1: {"choices": ["da"], "label": 0}, 2: {"label": 7}}
    finding = findings_of("reading", changed_data(tmp_path, "reading", "de", changes))["unusable-choices"]
    assert finding.language == "de"
    assert finding.example_ids == ("reading-1", "reading-2", "reading-3")
    assert finding.ceiling == pytest.approx(5 / 8)
    assert "reading-1: choices 0 and 1 are equal: 'da'" in finding.message


def test_a_right_answer_that_differs_between_languages_is_found(tmp_path):
    finding = findings_of("reading", changed_data(tmp_path, "reading", "de", {4: {"label": 0}}))["label-disagrees"]
    assert (finding.language, finding.example_ids) == ("de", ("reading-5",))


def test_a_pairs_texts_are_its_fields(tmp_path):
    changes = {1: {"choices": ["Meine Schwester schreibt uns.", "Meine Schwester schreibt uns!"]}}
    data = changed_data(tmp_path, "agreement", "de", changes)
    finding = findings_of("agreement", data)["identical-sides"]
    assert (finding.language, finding.example_ids) == ("de", ("agreement-2",))
    task = load_task(kind_task("agreement"))
    rows = read_rows(Path(KIND_DATA) / "agreement" / "test" / "en.jsonl", task, "en")
    audited, viewed = as_audited(task, rows)
    assert audited.fields == tuple(viewed[0].fields)
    assert tuple(viewed[0].fields.values()) == rows[0].choices


def test_a_long_answer_counts_for_the_context():
    findings = findings_of("reading", tokenizer=WordCounter())
    long = findings["over-context"].example_ids if "over-context" in findings else ()
    short = WordCounter()
    short.context = 38
    assert set(long) < set(findings_of("reading", tokenizer=short)["over-context"].example_ids)


def test_languages_with_items_of_their_own_are_not_compared(tmp_path):
    """Other items in each language are no missing items where the task says so."""
    folder = shutil.copytree(kind_task("agreement"), tmp_path / "agreement")
    with (folder / "task.yaml").open("a", encoding="utf-8") as file:
        file.write("parallel: false\n")
    data = changed_data(tmp_path, "agreement", "de", {i: {"id": f"de-{i}"} for i in range(6)})
    findings = audit(open_benchmark(str(folder), data=str(data)))
    assert not [finding for finding in findings if finding.severity == "error"]
    assert any("each has items of its own" in finding.message for finding in findings)
    assert "missing-item" in findings_of("agreement", data)


def test_answers_that_translation_made_equal_are_named(tmp_path):
    changes = {0: {"choices": ["hinter der Mühle", "Hinter der Mühle!", "am Meer"], "label": 0}}
    finding = findings_of("reading", changed_data(tmp_path, "reading", "de", changes))["equal-choices"]
    assert (finding.language, finding.severity, finding.example_ids) == ("de", "warning", ("reading-1",))
    assert "1 x the right one and another" in finding.message


def test_another_number_of_answers_is_named(tmp_path):
    data = changed_data(tmp_path, "reading", "de", {0: {"choices": ["hinter der Mühle", "am Meer"]}})
    finding = findings_of("reading", data)["choice-count"]
    assert (finding.language, finding.example_ids) == ("de", ("reading-1",))
    assert "reading-1 has 2, not 3" in finding.message


@pytest.mark.parametrize(
    ("cluster", "message"),
    [("", "1 item has no cluster; the others have one"), ("text-9", "1 item has another cluster than in the other")],
)
def test_clusters_that_do_not_fit_are_named(cluster, message, tmp_path):
    finding = findings_of("reading", changed_data(tmp_path, "reading", "de", {1: {"cluster": cluster}}))[
        "cluster-mismatch"
    ]
    assert (finding.language, finding.severity, finding.example_ids) == ("de", "error", ("reading-2",))
    assert message in finding.message


def test_an_empty_text_of_a_pair_is_named(tmp_path):
    findings = findings_of(
        "agreement", changed_data(tmp_path, "agreement", "de", {1: {"choices": ["Sie sind da.", ""]}})
    )
    assert findings["unusable-choices"].example_ids == ("agreement-2",)
    assert "choice 1 is empty" in findings["unusable-choices"].message


def test_mojibake_in_answers_is_repaired(tmp_path):
    for task, choices in (("reading", ["hinter der MÃ¼hle", "am Meer", "auf dem Dach"]), ("agreement", None)):
        choices = choices or ["Die SchlÃ¼ssel sind da.", "Die SchlÃ¼ssel ist da."]
        data = changed_data(tmp_path / task, task, "de", {0: {"choices": choices}})
        benchmark = open_benchmark(kind_task(task), data=str(data))
        repairs = write_repaired_copy(audit(benchmark), [benchmark], tmp_path / task / "fixed")
        assert {(repair.check, repair.language) for repair in repairs} == {("mojibake", "de")}
        assert repairs[0].after == choices[0].replace("Ã¼", "ü")
        assert repairs[0].field == "choice 0"
