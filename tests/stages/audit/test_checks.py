"""The table of checks is what is listed, skipped, run and repaired; and a fault of each class, planted in one of the demo
data's languages, is found there, and nothing is reported elsewhere."""

from __future__ import annotations

from dataclasses import replace
from typing import get_type_hints

import numpy as np
import pytest

from spillover.core.config import AuditConfig, AuditThresholds
from spillover.core.errors import ConfigError
from spillover.core.files import resources
from spillover.models.tokenizer import Counter
from spillover.stages.audit import audit, checks
from spillover.stages.audit.checks import CHECKS, INPUTS, Check, Need, Scope, describe_checks, select_checks
from spillover.stages.audit.findings import write_findings
from spillover.stages.audit.inputs import Fault, LanguageRows
from spillover.stages.audit.repaired_copy import write_repaired_copy
from spillover.stages.audit.row_repairs import RestoreText
from spillover.tasks.benchmark import open_benchmark
from tests.builders import make_tokenizer, small_data
from tests.stages.audit.builders import WITHOUT_IDENTIFIER, audit_folder, choice_folder, choice_items
from tests.stages.audit.choice_faults import (
    CHOICE_FAULT_CHANGES_SCORES,
    CHOICE_FOUND_BY,
    WHOLE_CHOICE_FILE,
    plant_choices,
)
from tests.stages.audit.faults import ADDED, CHANGES_SCORES, FOUND_BY, WHOLE_FILE, plant, read_data, write_data

# Of 24 rows; 0.1 where nothing is said.
RATES = {"off-by-one lines": 0.5, "mojibake": 0.5, "exchanged fields": 0.2} | dict.fromkeys(ADDED, 0.2)
SUMS = {"oracle-ceiling", "class-balance"}


def audit_everything(folder, skip=()):
    """An audit with all that a check may need."""
    return audit_folder(
        folder,
        config=AuditConfig(skip=list(skip)),
        tokenizer=Counter("tiny", 10_000, make_tokenizer("byte-level")),
        encode=lambda texts: np.eye(len(texts), dtype=np.float32),
    )


@pytest.fixture
def checks_run(monkeypatch):
    """The (id, scope) of every check that ran, in the order of their first runs."""
    run: dict[tuple[str, Scope], None] = {}

    def recorded(check):
        def function(given):
            run[check.id, check.scope] = None
            assert isinstance(given, INPUTS[check.scope])
            return check.function(given)

        return replace(check, function=function)

    monkeypatch.setattr(checks, "CHECKS", tuple(map(recorded, CHECKS)))
    return run


def test_a_check_that_is_listed_is_run(tmp_path, checks_run):
    audit_everything(small_data(tmp_path / "labels"))
    audit_folder(choice_folder(tmp_path / "choices", "copa", 2, {}, languages=["en", "de"]), "copa")
    listed = {line.splitlines()[0] for line in describe_checks()}
    assert listed == {check.id for check in CHECKS}
    assert set(checks_run) == {(check.id, check.scope) for check in CHECKS}


def test_a_check_that_is_skipped_is_not_computed(tmp_path, checks_run):
    skipped = ["mojibake", "wrong-language", "shifted-items", "missing-wording", "leaked-question", "oracle-ceiling"]
    audit_everything(small_data(tmp_path), skip=skipped)
    of_labels = {check.id for check in CHECKS if "labels" in check.kinds}
    assert of_labels - {check_id for check_id, _ in checks_run} == set(skipped)


def test_nothing_is_computed_when_all_is_skipped(tmp_path, checks_run):
    assert audit_everything(small_data(tmp_path), skip=[check.id for check in CHECKS]) == []
    assert not checks_run


def shouting(rows: LanguageRows):
    """Texts in capitals. Cannot see a text that is loud in other ways."""
    loud = [row.id for row in rows.rows if row.fields["review"].isupper()]
    if loud:
        yield Fault("in capitals", loud, repair=RestoreText(loud))


def test_a_check_is_added_with_a_function_and_a_row(tmp_path, monkeypatch):
    row = Check("shouting", Scope.LANGUAGE, "warning", shouting, ("text_letters",), RestoreText)
    monkeypatch.setattr(checks, "CHECKS", (*CHECKS, row))
    folder = small_data(tmp_path / "data", ("en", "de"))
    path = folder / "sentiment" / "test" / "de.jsonl"
    path.write_text(path.read_text().replace("review 0 in de", "CAF\u00c9 &AMP; BAR"))
    (listed,) = [text for text in describe_checks() if text.startswith("shouting\n")]
    assert "warning, each language, text_letters 10, repaired by --fix" in listed
    assert "Cannot see a text that is loud" in listed
    config = AuditConfig(skip=["escaped-text", "wrong-language"])
    (finding,) = audit_folder(folder, config=config)
    assert (finding.check, finding.severity, finding.language) == ("shouting", "warning", "de")
    (repair,) = write_repaired_copy([finding], [open_benchmark("sentiment", data=str(folder))], tmp_path / "fixed")
    assert (repair.check, repair.after) == ("shouting", "CAFÉ & BAR")
    assert audit_folder(folder, config=AuditConfig(skip=[*config.skip, "shouting"])) == []


def test_the_table_is_consistent():
    assert len({(check.id, check.scope) for check in CHECKS}) == len(CHECKS)
    thresholds = {key for check in CHECKS for key in check.thresholds}
    assert thresholds == set(AuditThresholds.model_fields), "every threshold is some check's, and every key is there"
    for check in CHECKS:
        hints = get_type_hints(check.function)
        assert [kind for name, kind in hints.items() if name != "return"] == [INPUTS[check.scope]], check.id


def test_every_check_says_what_it_sees_and_what_it_cannot_see():
    for check in CHECKS:
        text = check.function.__doc__ or ""
        assert "annot" in text or "passes over" in text.lower(), check.id


def test_checks_without_what_they_need_are_not_selected():
    selected = {check.id for check in select_checks(AuditConfig(), [])}
    assert {check.id for check in CHECKS} - selected == {check.id for check in CHECKS if check.need}
    assert "token-cost" in {check.id for check in select_checks(AuditConfig(), [Need.TOKENIZER])}


@pytest.mark.parametrize("options", [{"skip": ["birds"]}, {"tolerate": {"birds": 0.1}}])
def test_an_unknown_check_is_refused(options):
    with pytest.raises(ConfigError, match="no check birds"):
        select_checks(AuditConfig(**options), [])


@pytest.fixture(scope="module")
def nli():
    return read_data(resources() / "demo" / "nli" / "test")


@pytest.mark.parametrize("fault", FOUND_BY)
@pytest.mark.parametrize("language", ["ru", "de"])
def test_a_planted_fault_is_found_where_it_is(fault, language, nli, tmp_path):
    rate = 1.0 if fault in WHOLE_FILE else RATES.get(fault, 0.1)
    rows, training, damaged = plant(fault, nli, language, "en", rate, np.random.default_rng(3))
    assert damaged
    folder = write_data(tmp_path / "data", "nli", {**nli, language: rows}, {language: training} if training else {})
    findings = [f for f in audit_folder(folder, "nli", config=WITHOUT_IDENTIFIER) if f.severity != "note"]
    named = {i for f in findings if f.check in FOUND_BY[fault] and f.language == language for i in f.example_ids}
    assert len(named & set(damaged)) >= 0.5 * len(damaged)
    assert [f for f in findings if f.language != language and f.check not in SUMS] == []
    if fault in CHANGES_SCORES:
        errors = [f for f in findings if f.severity == "error"]
        assert errors
        assert fault == "off-by-one lines" or any(f.ceiling is not None and f.ceiling < 1 for f in errors)
    write_findings(tmp_path / "findings.json", findings)  # evidence is plain JSON


@pytest.mark.parametrize("fault", CHOICE_FOUND_BY)
@pytest.mark.parametrize("language", ["ru", "de"])
def test_a_fault_planted_in_answers_is_found_where_it_is(fault, language, tmp_path):
    """Of reading, which has four answers, numbers in every third item and clusters."""
    rate = 1.0 if fault in WHOLE_CHOICE_FILE else 0.2 if fault == "single wrong answers" else 0.5
    clean = choice_items("reading", 4)
    rows, damaged = plant_choices(fault, clean, language, "en", rate, np.random.default_rng(3))
    folder = choice_folder(tmp_path, "reading", 4, {language: lambda _: rows})
    findings = [f for f in audit_folder(folder, "reading", config=WITHOUT_IDENTIFIER) if f.severity != "note"]
    named = {i for f in findings if f.check in CHOICE_FOUND_BY[fault] and f.language == language for i in f.example_ids}
    assert len(named & set(damaged)) >= 0.5 * len(damaged)
    assert [f for f in findings if f.language != language and f.check not in SUMS] == []
    assert fault not in CHOICE_FAULT_CHANGES_SCORES or any(f.ceiling is not None and f.ceiling < 1 for f in findings)
    write_findings(tmp_path / "findings.json", findings)


@pytest.mark.parametrize(("task", "n_choices"), [("copa", 2), ("reading", 4)])
def test_no_warning_on_undamaged_answers(task, n_choices, tmp_path):
    clean = choice_items(task, n_choices)
    findings = audit_folder(choice_folder(tmp_path, task, n_choices, {}, languages=list(clean)), task)
    assert [f for f in findings if f.severity != "note"] == []


def test_planting_is_seeded_and_leaves_its_input_alone(nli):
    before = [dict(row) for row in nli["de"]]
    first, second = (plant("truncated rows", nli, "de", "en", 0.2, np.random.default_rng(1)) for _ in range(2))
    assert first == second
    assert nli["de"] == before


def test_no_warning_on_undamaged_data():
    assert [f for f in audit("nli", config=WITHOUT_IDENTIFIER) if f.severity != "note"] == []
