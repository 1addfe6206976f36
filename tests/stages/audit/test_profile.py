"""What is kept of a language is numbers: memory does not grow with the text of the languages."""

from __future__ import annotations

import gc
import weakref
from dataclasses import fields

import numpy as np
import pytest

from spillover.core.config import AuditConfig
from spillover.stages.audit import stage as checks
from spillover.stages.audit.profile import Languages, counted, told
from spillover.tasks.examples import read_rows
from spillover.tasks.wording import load_task
from tests.builders import small_data
from tests.stages.audit.test_language_checks import sheet

CONFIG = AuditConfig(skip=["wrong-language"])


def test_a_profile_holds_numbers_and_few_of_them():
    long = ["a word and 1987 in Rome " * 40 for _ in range(50)]
    languages = Languages(load_task("sentiment"), CONFIG, "en")
    languages.add(sheet("de", long))
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

    monkeypatch.setattr(checks, "read_rows", read)
    checks.audit("sentiment", data=str(small_data(tmp_path, ("en", "de", "es", "fr"))), config=CONFIG)
    tests, training = alive[:4], alive[4:]
    assert tests == [0, 0, 0, 0], "the rows of the language before are gone when the next one's are read"
    assert training == [0, 1] * 4, "training questions stand beside their own language's test items only"


@pytest.mark.parametrize(
    ("arguments", "text"),
    [((1, "have"), "1 item has"), ((1, "are"), "1 item is"), ((1, "hold", "row"), "1 row holds"), ((2, "are"), "2 items are")],
)  # fmt: skip
def test_one_is_no_plural(arguments, text):
    assert counted(*arguments) == text


def test_a_message_shows_a_few_words():
    assert told(["a", "b"]) == "a, b"
    assert told(map(str, range(7))) == "0, 1, 2, 3, 4 and 2 more"
    assert len(told(["a long label " * 20])) <= 60
