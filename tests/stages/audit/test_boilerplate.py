from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spillover.core.config import AuditConfig, AuditThresholds
from spillover.core.files import resources
from spillover.stages.audit.boilerplate import boilerplate, length_gain, stray_tags
from spillover.stages.audit.exchanged_fields import exchanged_fields
from spillover.stages.audit.profile import LanguageProfiles, Phrase
from tests.stages.audit.builders import WITHOUT_IDENTIFIER, audit_folder, language_rows
from tests.stages.audit.faults import ADDED, plant, read_data, write_data


def profiles(texts_by_language):
    """Profiles of reviews, the first language's beside them."""
    languages = LanguageProfiles(language_rows("en", []).task, AuditThresholds(), "en")
    reference = next(iter(texts_by_language.values()))
    for code, texts in texts_by_language.items():
        languages.add(language_rows(code, texts, reference if code != "en" else ()))
    return languages


@pytest.fixture(scope="module")
def nli():
    return read_data(resources() / "demo" / "nli" / "test")


@pytest.mark.parametrize("fault", ADDED)
@pytest.mark.parametrize("language", ["zh", "th", "hi", "sw", "en"])
def test_all_rows_with_added_text_are_named_and_no_others(fault, language, nli, tmp_path):
    rows, _, damaged = plant(fault, nli, language, "en", 0.4, np.random.default_rng(1))
    findings = audit_folder(write_data(tmp_path, "nli", {**nli, language: rows}, {}), "nli", config=WITHOUT_IDENTIFIER)
    (finding,) = [finding for finding in findings if finding.check == "boilerplate"]
    assert finding.language == language
    assert set(finding.example_ids) <= set(damaged)
    assert len(finding.example_ids) >= 0.8 * len(damaged)


def test_what_half_of_the_languages_have_is_the_references_fault():
    plain = [f"text {'x' * i} about {'y' * (7 * i % 11)}" for i in range(12)]
    prefixed = {code: [f"{word}: {text}" for text in plain] for code, word in (("de", "Frage"), ("es", "Pregunta"))}
    assert not list(boilerplate(profiles({"en": plain} | prefixed)))
    assert [f.language for f in boilerplate(profiles({"en": plain, "de": prefixed["de"], "es": plain}))] == ["de"]


def test_a_phrase_gains_only_where_it_makes_the_rows_longer():
    rng = np.random.default_rng(0)
    length, share = np.full(100, np.log1p(60.0)), rng.normal(0, 0.1, 100)
    phrase = Phrase(0, "x" * 20, 20, np.arange(20, dtype=np.int32), known=False)
    longer = share + np.where(np.arange(100) < 20, np.log(60 / 40), 0)
    assert length_gain(length, longer, phrase) > 20
    assert length_gain(length, share, phrase) == 0
    assert length_gain(length, np.where(np.arange(100) < 90, longer, np.nan), phrase) > 20


def test_tags_are_stray_where_the_other_languages_have_none():
    plain = ["one", "two", "three"]
    tagged = ["one<br>", "two <i>x</i>", "three"]
    assert [(f.language, f.example_ids) for f in stray_tags(profiles({"en": plain, "de": tagged, "es": plain}))] == [
        ("de", ["0", "1"])
    ]
    assert not list(stray_tags(profiles({"en": tagged, "de": tagged, "es": tagged})))


WORD = st.sampled_from(
    ["a", "dog", "runs", "home", "the", "blue", "house", "is", "far", "away", "12", "Rome", "(so)", "why:"]
)
SENTENCES = st.lists(WORD, min_size=1, max_size=12).map(" ".join)


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.lists(SENTENCES, min_size=1, max_size=12), st.integers(0, 2**32 - 1))
def test_tiny_sets_whose_words_are_translated_one_by_one_raise_nothing(sentences, seed):
    """Each language has words of its own lengths; what recurs in one recurs in all."""
    rng = np.random.default_rng(seed)
    by_language = {"en": sentences}
    for code in ("de", "es", "fr"):
        words = {
            word: word + "aeioun"[: int(rng.integers(0, 4))] if word.isalpha() else word
            for word in " ".join(sentences).split()
        }
        by_language[code] = [" ".join(words[word] for word in sentence.split()) for sentence in sentences]
    languages = profiles(by_language)
    assert not [*boilerplate(languages), *stray_tags(languages), *exchanged_fields(languages)]


def test_nothing_is_said_when_it_is_skipped(tmp_path, nli):
    rows, _, _ = plant("added tags", nli, "de", "en", 0.4, np.random.default_rng(1))
    config = AuditConfig(skip=[*WITHOUT_IDENTIFIER.skip, "stray-tags"])
    assert not [
        f
        for f in audit_folder(write_data(tmp_path, "nli", {**nli, "de": rows}, {}), "nli", config=config)
        if f.severity != "note"
    ]
