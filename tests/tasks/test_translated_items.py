from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from spillover.core.types import Example
from spillover.tasks.benchmark import open_benchmark
from spillover.tasks.prompts import answer_prompt, content_free, content_hash
from spillover.tasks.translated_items import (
    TranslatedItems,
    answers_kept,
    item_texts,
    other_positions,
    with_texts,
)
from spillover.tasks.wording import load_task
from tests.builders import small_data


@pytest.fixture(scope="module")
def benchmark(tmp_path_factory):
    data = small_data(tmp_path_factory.mktemp("data"), ("en", "de", "es"))
    return open_benchmark("sentiment", data=str(data))


@pytest.fixture(scope="module")
def translated(benchmark):
    items = {
        code: {row.id: with_texts(benchmark.task, row, [f"{code} {row.id} in English"]) for row in rows}
        for code, rows in benchmark.examples().items()
        if code != "en"
    }
    return replace(benchmark, translated=TranslatedItems("en", "mine", items))


def test_a_translated_item_is_asked_in_english_alone_and_paired_as_the_item_it_was(benchmark, translated):
    own, asked = (side.prompts("native", shots) for side, shots in ((benchmark, "own"), (translated, "en")))
    for code in ("de", "es"):
        for before, after in zip(own[code], asked[code], strict=True):
            assert (after.example_id, after.language, after.gold) == (before.example_id, code, before.gold)
            assert after.content == before.content != ""
            assert after.asked_in == after.wording_language == "en"
            assert after.prefix == own["en"][0].prefix
            assert after.answers == own["en"][0].answers
            assert f"{code} {after.example_id} in English" in after.body
            assert f"in {code}" not in after.text
    assert [prompt.text for prompt in asked["en"]] == [prompt.text for prompt in own["en"]]


def test_what_calibrates_a_translated_item_has_english_words_too(benchmark, translated):
    english, german = (
        side.prompts("english", "en", [code])[code][0] for side, code in ((benchmark, "en"), (translated, "de"))
    )
    task = benchmark.task
    assert [row.text for row in content_free(task, german, ["N/A"])] == [
        row.text for row in content_free(task, english, ["N/A"])
    ]
    assert answer_prompt(task, german).text == answer_prompt(task, english).text


def test_shuffled_gives_every_item_the_text_of_another_and_keeps_its_label(benchmark, translated):
    real = translated.translated
    null = real.shuffled(benchmark.task, seed=0)
    exchanges = set()
    for code, own in real.items.items():
        names = list(own)
        texts = {row.fields["review"]: names.index(name) for name, row in own.items()}
        exchanges.add(tuple(texts[row.fields["review"]] for row in null.items[code].values()))
        assert [(row.id, row.label) for row in null.items[code].values()] == [(r.id, r.label) for r in own.values()]
    (exchange,) = exchanges
    assert sorted(exchange) == list(range(len(exchange)))
    assert all(i != other for i, other in enumerate(exchange))
    assert null.key != real.key
    assert null.text.startswith("translated into en by mine, of other items, text ")
    assert null.key == real.shuffled(benchmark.task, seed=0).key != real.shuffled(benchmark.task, seed=1).key


def test_codes_are_not_translated_and_answers_are():
    task = load_task("copa")
    item = Example("1", "de", {"premise": "Es regnet.", "question": "cause"}, "0", ("Erstens.", "Zweitens."))
    assert task.text_fields == ("premise",)
    assert item_texts(task, item) == ["Es regnet.", "Erstens.", "Zweitens."]
    english = with_texts(task, item, ["It rains.", "First.", "Second."])
    assert english.fields == {"premise": "It rains.", "question": "cause"}
    assert english.choices == ("First.", "Second.")
    assert content_hash(task, english) != content_hash(task, item)


@pytest.mark.parametrize("answers", [["", "Second."], ["Same.", "Same."]])
def test_answers_that_cannot_be_scored_stay_as_they_were(answers):
    task = load_task("copa")
    item = Example("1", "de", {"premise": "Es regnet.", "question": "cause"}, "0", ("Erstens.", "Zweitens."))
    assert answers_kept(task, item, ["It rains.", *answers])
    assert not answers_kept(task, item, ["", "First.", "Second."])
    kept = with_texts(task, item, ["It rains.", *answers])
    assert kept.choices == item.choices
    assert kept.fields["premise"] == "It rains."


def test_an_empty_translation_is_asked_as_such(benchmark):
    (item, *_) = benchmark.examples()["de"]
    empty = TranslatedItems("en", "mine", {"de": {item.id: with_texts(benchmark.task, item, [""])}})
    (prompt,) = empty.prompts(benchmark.task, [item], labels="english", shots="en")
    assert prompt.body.startswith("Review: \n")


@pytest.mark.parametrize("n", [2, 3, 50])
def test_other_positions_leave_none_in_its_place(n):
    others = other_positions(n, np.random.default_rng(0))
    assert sorted(others) == list(range(n))
    assert all(i != other for i, other in enumerate(others))


def test_one_item_alone_has_no_other():
    assert other_positions(1, np.random.default_rng(0)) == [0]
