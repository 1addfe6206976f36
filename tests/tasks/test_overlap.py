from __future__ import annotations

from spillover.core.types import Example
from spillover.tasks.overlap import normalise, overlapping


def test_case_punctuation_blanks_and_width_do_not_matter():
    assert normalise("  Hello,  WORLD! ") == normalise("hello world") == normalise("ｈｅｌｌｏ world")
    assert normalise("très bon") != normalise("tres bon")


def test_all_fields_must_match():
    items = [Example("item", "en", {"a": "One.", "b": "Two."})]
    questions = [Example("same", "en", {"a": "one", "b": "TWO"}), Example("half", "en", {"a": "one", "b": "three"})]
    assert overlapping(questions, items) == [("same", "item")]
