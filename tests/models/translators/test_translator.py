from __future__ import annotations

import pytest

from spillover.models.translators.translator import IncompleteTranslation, Line, by_line


def upper(lines):
    return [Line(line.upper()) for line in lines]


def test_line_breaks_are_kept_and_lines_without_a_word_are_not_asked():
    asked = []

    def translate(lines):
        asked.extend(lines)
        return upper(lines)

    assert by_line("m", ["a\n\n  b ", "", "c"], translate) == ["A\n\nB", "", "C"]
    assert asked == ["a", "b", "c"]


def test_nothing_is_asked_where_there_is_nothing():
    assert by_line("m", ["", " \n"], lambda lines: pytest.fail("asked")) == ["", "\n"]


def test_a_line_that_is_not_translated_is_a_problem_of_its_text():
    def translate(lines):
        return [Line(line.upper(), "too hard" if line == "c" else "") for line in lines]

    with pytest.raises(IncompleteTranslation) as error:
        by_line("m", ["a\nb", "c\nd", "e"], translate)
    assert error.value.translations == ["A\nB", "C\nD", "E"]
    assert error.value.reasons == {1: "too hard"}
    assert error.value.message == "m: 'c\\nd': too hard"
    assert error.value.hint
