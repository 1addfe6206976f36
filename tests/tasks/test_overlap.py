from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from spillover.core.types import Example
from spillover.tasks.overlap import grams, jaccard, near_index, normalise, overlapping


def test_case_punctuation_blanks_and_width_do_not_matter():
    assert normalise("  Hello,  WORLD! ") == normalise("hello world") == normalise("ｈｅｌｌｏ world")
    assert normalise("très bon") != normalise("tres bon")


def test_all_fields_must_match():
    items = [Example("item", "en", {"a": "One.", "b": "Two."})]
    questions = [Example("same", "en", {"a": "one", "b": "TWO"}), Example("half", "en", {"a": "one", "b": "three"})]
    assert overlapping(questions, items) == [("same", "item")]


def index(*texts):
    return near_index([Example(f"item-{i}", "en", {"a": text}) for i, text in enumerate(texts)])


BASE = "two dogs run along the beach while a child in a red coat throws a ball"


def test_near_duplicates_are_found_and_others_are_not():
    found = index("something else altogether, not a word of it in common", BASE)
    assert found.near(Example("q", "en", {"a": BASE.replace("red", "blue")}), 0.8) == "item-1"
    assert found.near(Example("q", "en", {"a": "a child in a red coat sleeps at home in a chair"}), 0.8) is None
    assert found.near(Example("q", "en", {"a": ""}), 0.8) is None


def test_sides_may_be_exchanged_but_both_must_be_near():
    pair = near_index([Example("pair", "en", {"a": BASE, "b": "a cat sleeps on the warm stone wall"})])
    assert pair.near(Example("q", "en", {"a": "a cat sleeps on the warm stone wall!", "b": BASE}), 0.8) == "pair"
    assert pair.near(Example("q", "en", {"a": BASE, "b": "nobody is here at all today"}), 0.8) is None


@given(st.integers(0, len(BASE) - 2), st.sampled_from("xyz"))
def test_one_changed_letter_is_always_near(place, letter):
    changed = BASE[:place] + letter + BASE[place + 1 :]
    assert jaccard(grams(normalise(BASE)), grams(normalise(changed))) >= 0.8
    assert index(BASE).near(Example("q", "en", {"a": changed}), 0.8) == "item-0"


@given(st.text(max_size=30))
def test_similarity_is_one_to_itself_and_between_zero_and_one(text):
    assert jaccard(grams(text), grams(text)) == 1
    assert 0 <= jaccard(grams(text), grams(BASE)) <= 1
