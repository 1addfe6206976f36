from __future__ import annotations

import pytest

from spillover.stages.audit.text_features import (
    NUMBER,
    ascii_digits,
    count_tags,
    has_final_punctuation,
    name_places,
    number_hash,
    number_places,
    weighted_length,
)


@pytest.mark.parametrize(
    ("text", "digits"),
    [("1,000 and 1 000 and 1.000", {"1000"}), ("3.5 or 3,5", {"35"}), ("१९९९", {"1999"}), ("10, 20", {"10", "20"}), ("none", set())],
)  # fmt: skip
def test_numbers_are_the_same_in_every_script(text, digits):
    assert {ascii_digits(number) for number in NUMBER.findall(text)} == digits


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


def test_a_number_or_name_has_the_place_where_it_first_stands():
    assert number_places("in 1999 and 1999") == {number_hash("1999"): 3}
    assert name_places("Anna met Bob, and Bob met Anna") == {"Anna": 0, "Bob": 9}


def test_tags_are_counted_and_less_than_is_none():
    assert count_tags("a<br>b<br/>c <b>d</b>") == 4
    assert count_tags("1 < 2 > 0, <- x") == 0
