"""What is kept of a language is numbers: memory does not grow with the text of the languages."""

from __future__ import annotations

import gc
import weakref
from dataclasses import fields

import numpy as np

from spillover.core.config import AuditThresholds
from spillover.stages.audit import stage
from spillover.stages.audit.profile import LanguageProfiles
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
