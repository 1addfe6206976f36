from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from spillover.core.config import AuditConfig
from spillover.core.types import Example
from spillover.models.tokenizer import Counter
from spillover.stages.audit import prompt_checks as wording
from spillover.stages.audit.profile import Sheet
from spillover.stages.audit.retrieval_check import nearest_items
from spillover.stages.audit.stage import audit
from spillover.tasks.wording import load_task
from tests.builders import make_tokenizer, small_data
from tests.stages.audit.test_language_checks import sheet


def with_words(**labels):
    task = load_task("sentiment")
    changed = replace(task.wordings["de"], labels=labels)
    return replace(task, wordings=dict(task.wordings) | {"de": changed})


def test_label_words_that_are_alike():
    assert not list(wording.similar_label_words(load_task("nli"), ["en", "zh"]))
    (same,) = wording.similar_label_words(with_words(positive="Gut", negative="gut!"), ["de"])
    assert (same.check, same.severity) == ("equal-label-words", "error")
    (prefix,) = wording.similar_label_words(with_words(positive="gut", negative="gutes"), ["de"])
    assert (prefix.check, prefix.severity) == ("label-word-prefix", "note")


def test_a_language_without_wording_is_an_error(tmp_path):
    folder = small_data(tmp_path, ("en", "de", "fi"))
    (finding,) = [f for f in audit("sentiment", data=str(folder)) if f.check == "missing-wording"]
    assert (finding.severity, finding.language) == ("error", "fi")


def test_shots_that_favour_a_class_repeat_or_are_not_translated():
    task = load_task("nli")
    shots = dict(task.shots) | dict.fromkeys(list(task.shots)[:4], "neutral")
    own = dict(task.wordings["de"].shots)
    first, second, *_ = own
    own |= {second: own[first], list(own)[2]: task.wordings["en"].shots[list(own)[2]]}
    changed = replace(task, shots=shots, wordings=dict(task.wordings) | {"de": replace(task.wordings["de"], shots=own)})
    assert not list(wording.shots(task, ["de"], "en"))
    assert {f.check for f in wording.shots(changed, ["de"], "en")} == {
        "unbalanced-shots",
        "repeated-shot",
        "untranslated-shot",
    }


@pytest.fixture
def tokenizer():
    return Counter("tiny", 10_000, make_tokenizer("byte-level"))


def test_tokens_of_labels_and_items(tokenizer, tmp_path):
    findings = audit("sentiment", tokenizer=tokenizer, config=AuditConfig(skip=["wrong-language"]))
    assert {f.check for f in findings} <= {"token-cost", "label-pieces", "shared-first-token"}
    assert {f.language for f in findings if f.check == "token-cost"} >= {"hi"}
    assert all(f.severity == "note" for f in findings)


def test_items_longer_than_the_context_are_errors(tokenizer):
    short = replace(tokenizer, context=60)
    findings = [f for f in audit("sentiment", tokenizer=short, languages="en,de") if f.check == "over-context"]
    assert {f.language for f in findings} == {"en", "de"}
    assert all(f.severity == "error" and f.example_ids for f in findings)


def test_label_words_with_the_same_tokens_are_an_error():
    blind = Counter("words", 10_000, make_tokenizer("whole-words"))
    rows = [Example("a", "bn", {"review": "x"}, "positive")]
    checks = {f.check for f in wording.label_tokens(load_task("sentiment"), "bn", rows, blind)}
    assert checks & {"label-tokens", "shared-first-token"}


def test_the_nearest_reference_item_is_another_one():
    english = ["first", "second", "third", "third"]
    vectors = {"first": [1, 0], "second": [0, 1], "third": [1, 1], "eins": [1, 0.1], "zwei": [1, 0], "drei": [1, 1]}
    place = sheet("de", ["eins", "zwei", "drei", "drei"], english)
    (finding,) = nearest_items(place, lambda texts: np.array([vectors[text] for text in texts], dtype=np.float32))
    assert finding.evidence["nearest"] == {"1": "0"}
    assert isinstance(place, Sheet)


def test_an_encoder_that_is_not_installed_is_said(monkeypatch):
    import sys

    from spillover.core.errors import missing_extra
    from spillover.models.encoder import load_encoder

    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    with pytest.raises(ImportError) as caught:
        load_encoder("any")
    assert "spillover[encoder]" in missing_extra(caught.value).hint


def test_the_audit_asks_an_encoder_for_every_language(tmp_path):
    folder = small_data(tmp_path, ("en", "de"))
    asked = []

    def encode(texts):
        asked.extend(texts)
        return np.ones((len(texts), 2), dtype=np.float32)

    audit("sentiment", data=str(folder), encode=encode)
    assert "review 0 in de" in asked
