from __future__ import annotations

from dataclasses import replace

import pytest

from spillover.core.types import Example
from spillover.models.tokenizer import Counter
from spillover.stages.audit import audit
from spillover.stages.audit import prompt_checks as wording
from spillover.tasks.benchmark import open_benchmark
from spillover.tasks.wording import load_task
from tests.builders import make_tokenizer
from tests.stages.audit.builders import WITHOUT_IDENTIFIER, language_rows, wording_input


def with_words(**labels):
    task = load_task("sentiment")
    changed = replace(task.wordings["de"], labels=labels)
    return wording_input(replace(task, wordings=dict(task.wordings) | {"de": changed}), ["de"])


def test_label_words_that_are_alike():
    clean = wording_input(load_task("nli"), ["en", "zh"])
    assert not [*wording.equal_label_words(clean), *wording.label_word_prefixes(clean)]
    same, prefix = with_words(positive="Gut", negative="gut!"), with_words(positive="gut", negative="gutes")
    (fault,) = wording.equal_label_words(same)
    assert "positive and negative have one word" in fault.message
    assert not list(wording.label_word_prefixes(same))
    (fault,) = wording.label_word_prefixes(prefix)
    assert fault.evidence["words"] == ["gut", "gutes"]
    assert not list(wording.equal_label_words(prefix))


def test_shots_that_favour_a_class_repeat_or_are_not_translated():
    task = load_task("nli")
    shots = dict(task.shots) | dict.fromkeys(list(task.shots)[:4], "neutral")
    german = dict(task.wordings["de"].shots)
    first, second, third, *_ = german
    german |= {second: german[first], third: task.wordings["en"].shots[third]}
    wordings = dict(task.wordings) | {"de": replace(task.wordings["de"], shots=german)}
    changed = replace(task, shots=shots, wordings=wordings)
    for check in (wording.unbalanced_shots, wording.repeated_shots, wording.untranslated_shots):
        assert not list(check(wording_input(task, ["de"])))
        assert len(list(check(wording_input(changed, ["de"])))) == 1


@pytest.fixture
def tokenizer():
    return Counter("tiny", 10_000, make_tokenizer("byte-level"))


def test_tokens_of_labels_and_items(tokenizer):
    findings = audit("sentiment", tokenizer=tokenizer, config=WITHOUT_IDENTIFIER)
    assert {f.check for f in findings} <= {"token-cost", "label-pieces", "shared-first-token"}
    assert {f.language for f in findings if f.check == "token-cost"} >= {"hi"}
    assert all(f.severity == "note" for f in findings)


def test_items_longer_than_the_context_are_errors(tokenizer):
    benchmark = open_benchmark("sentiment", languages="en,de")
    findings = [f for f in audit(benchmark, tokenizer=replace(tokenizer, context=60)) if f.check == "over-context"]
    assert {f.language for f in findings} == {"en", "de"}
    assert all(f.severity == "error" and f.example_ids for f in findings)


def test_label_words_with_the_same_tokens_are_an_error():
    blind = Counter("words", 10_000, make_tokenizer("whole-words"))
    rows = [Example("a", "bn", {"review": "x"}, "positive")]
    tokens = wording.tokenize_language(load_task("sentiment"), "bn", rows, blind)
    bengali = language_rows("bn", ["x"], tokens=tokens)
    assert [*wording.label_tokens(bengali), *wording.shared_first_tokens(bengali)]
