from __future__ import annotations

import numpy as np
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


def near(found, question):
    return found.near([question], 0.8).get(question.id)


BASE = "two dogs run along the beach while a child in a red coat throws a ball"


def test_near_duplicates_are_found_and_others_are_not():
    found = index("something else altogether, not a word of it in common", BASE)
    assert near(found, Example("q", "en", {"a": BASE.replace("red", "blue")})) == "item-1"
    assert near(found, Example("q", "en", {"a": "a child in a red coat sleeps at home in a chair"})) is None
    assert near(found, Example("q", "en", {"a": ""})) is None


def test_sides_may_be_exchanged_but_both_must_be_near():
    pair = near_index([Example("pair", "en", {"a": BASE, "b": "a cat sleeps on the warm stone wall"})])
    assert near(pair, Example("q", "en", {"a": "a cat sleeps on the warm stone wall!", "b": BASE})) == "pair"
    assert near(pair, Example("q", "en", {"a": BASE, "b": "nobody is here at all today"})) is None


@given(st.integers(0, len(BASE) - 2), st.sampled_from("xyz"))
def test_one_changed_letter_is_always_near(place, letter):
    changed = BASE[:place] + letter + BASE[place + 1 :]
    assert jaccard(grams(normalise(BASE)), grams(normalise(changed))) >= 0.8
    assert near(index(BASE), Example("q", "en", {"a": changed})) == "item-0"


@given(st.text(max_size=30))
def test_similarity_is_one_to_itself_and_between_zero_and_one(text):
    assert jaccard(grams(text), grams(text)) == 1
    assert 0 <= jaccard(grams(text), grams(BASE)) <= 1


def test_lookup_in_blocks_finds_what_comparing_every_pair_finds():
    rng = np.random.default_rng(0)
    words = [f"w{i}ord{i * 7}" for i in range(40)]

    def texts(n):
        return [" ".join(rng.choice(words, rng.integers(6, 14))) for _ in range(n)]

    items = [
        Example(f"item-{i}", "en", {"a": a, "b": b}) for i, (a, b) in enumerate(zip(texts(80), texts(80), strict=True))
    ]
    copies = [Example(f"copy-{row.id}", "en", {"a": row.fields["a"] + " x", "b": row.fields["b"][3:]}) for row in items]
    turned = [Example(f"turn-{row.id}", "en", {"a": row.fields["b"], "b": row.fields["a"] + "s"}) for row in items]
    strangers = [Example(f"other-{i}", "en", {"a": a, "b": a}) for i, a in enumerate(texts(1100))]
    found = near_index(items).near([*copies, *strangers, *turned], 0.8)

    def fields(row):
        return [grams(normalise(text)) for text in row.fields.values()]

    def near_in_order(one, other):
        return all(jaccard(a, b) >= 0.8 for a, b in zip(one, other, strict=True))

    def alike(one, other):
        return near_in_order(one, other) or near_in_order(one, other[::-1])

    assert len(found) > 100
    others = [fields(item) for item in items]
    questions = {row.id: fields(row) for row in [*copies, *strangers, *turned]}
    assert set(found) == {name for name, one in questions.items() if any(alike(one, other) for other in others)}
