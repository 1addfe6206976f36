"""What is kept of a language is numbers: memory does not grow with the text of the languages."""

from __future__ import annotations

import gc
import weakref
from dataclasses import fields

import numpy as np
import pytest

from spillover.core.config import AuditThresholds
from spillover.stages.audit import stage
from spillover.stages.audit.profile import (
    LanguageProfiles,
    digit_strings,
    has_final_punctuation,
    number_hash,
    weighted_length,
)
from spillover.tasks.examples import read_rows
from spillover.tasks.wording import load_task
from tests.builders import small_data
from tests.stages.audit.builders import WITHOUT_IDENTIFIER, audit_folder, language_rows


def test_a_profile_holds_numbers_and_few_of_them():
    long = ["a word and 1987 in Rome " * 40 for _ in range(50)]
    languages = LanguageProfiles(load_task("sentiment"), AuditThresholds(), "en")
    languages.add(language_rows("de", long))
    values = [getattr(languages.profiles["de"], own.name) for own in fields(languages.profiles["de"])]
    arrays = [value for value in values if not isinstance(value, str)]
    assert all(isinstance(value, np.ndarray) and value.dtype != object for value in arrays)
    assert sum(value.nbytes for value in arrays) < 120 * len(long)


class Rows(list):
    """Rows that can be watched going away."""


def test_one_language_is_in_memory_at_a_time(tmp_path, monkeypatch):
    watched, alive = [], []

    def read(*arguments):
        gc.collect()
        alive.append(sum(rows() is not None for rows in watched))
        rows = Rows(read_rows(*arguments))
        watched.append(weakref.ref(rows))
        return rows

    monkeypatch.setattr(stage, "read_rows", read)
    audit_folder(small_data(tmp_path, ("en", "de", "es", "fr")), config=WITHOUT_IDENTIFIER)
    tests, training = alive[:4], alive[4:]
    assert tests == [0, 0, 0, 0], "the rows of the language before are gone when the next one's are read"
    assert training == [0, 1] * 4, "training questions stand beside their own language's test items only"


@pytest.mark.parametrize(
    ("text", "digits"),
    [("1,000 and 1 000 and 1.000", {"1000"}), ("3.5 or 3,5", {"35"}), ("१९९९", {"1999"}), ("10, 20", {"10", "20"}), ("none", set())],
)  # fmt: skip
def test_numbers_are_the_same_in_every_script(text, digits):
    assert digit_strings(text) == digits


def test_a_numbers_hash_says_how_long_it_is():
    assert number_hash("1999") & 0xF == 4
    assert number_hash("1999") != number_hash("1998")


def test_a_chinese_text_is_as_long_with_a_name_in_latin_letters():
    assert weighted_length("the leaves") == 10
    assert weighted_length("ประเทศ") == len("ประเทศ")
    plain, named = "他在柏林见到了安德森先生", "他在柏林见到了Anderson先生"
    assert abs(weighted_length(named) / weighted_length(plain) - 1) < 0.1


@pytest.mark.parametrize(
    ("text", "well"), [("So.", True), ("今。", True), ("यह।", True), ("এই৷", True), ("ดี", False), ("(so)", True), ("so,", False), ("so", False), ("", False)]
)  # fmt: skip
def test_what_may_end_a_text(text, well):
    assert has_final_punctuation(text) == well
