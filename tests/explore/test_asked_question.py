"""A question is asked as the stages ask it; what cannot be asked has one line with the cure."""

from __future__ import annotations

from dataclasses import replace

import pytest

from spillover.core.errors import ConfigError, DataError
from spillover.explore.asked_question import OWN_PROMPT, OWN_WORDS, Question, asked_item, from_query, to_query
from spillover.tasks.benchmark import open_benchmark
from spillover.tasks.prompts import content_free

INPUTS = ("N/A", "")
HOSTILE = "</script><b>\u202e&a=b#?{x}\n\u0000"
REVIEW = Question("sentiment", "sw", ("Kitabu kizuri sana.",))


@pytest.mark.parametrize("task", ["sentiment", "nli", "copa", "reading"])
@pytest.mark.parametrize("labels", ["native", "irrelevant"])
def test_the_prompt_is_that_of_evaluate(task, labels):
    benchmark = open_benchmark(task, languages="sw,th", limit=2)
    for code, prompts in benchmark.prompts(labels, "own").items():
        for example, prompt in zip(benchmark.examples()[code], prompts, strict=True):
            fields = tuple(example.fields[name] for name in benchmark.task.fields)
            item = asked_item(Question(task, code, fields, labels, choices=example.choices), INPUTS)
            assert (item.prompt.text, item.prompt.answers) == (prompt.text, prompt.answers)
            assert [free.text for free in item.without_content] == [
                free.text for free in content_free(benchmark.task, prompt, INPUTS)
            ]


def test_words_of_ones_own_stand_in_the_shots_and_the_answers():
    item = asked_item(replace(REVIEW, labels=OWN_WORDS, words=(" ndiyo ", "hapana")), INPUTS)
    assert item.prompt.answers == ("ndiyo", "hapana")
    assert 'Hisia: "ndiyo"' in item.prompt.prefix
    assert item.calibrates


def test_a_prompt_of_ones_own_is_asked_as_it_is():
    text = "The capital of {France} is"
    item = asked_item(Question(OWN_PROMPT, "en", (text,), words=("Paris", "Rome")), INPUTS)
    assert item.prompt.text == text
    assert item.prompt.answers == (" Paris", " Rome")
    assert not item.calibrates
    assert asked_item(Question(OWN_PROMPT, "en", (text,), words=("a", "b"), blank=False), INPUTS).prompt.answers == (
        "a",
        "b",
    )


def test_a_language_without_wording_borrows_when_it_is_asked_to():
    with pytest.raises(ConfigError, match="no wording in 'yo'") as error:
        asked_item(replace(REVIEW, language="yo"), INPUTS)
    assert "wording of en" in error.value.hint
    item = asked_item(replace(REVIEW, language="yo", wording="en"), INPUTS)
    assert "Review: Kitabu" in item.prompt.body


@pytest.mark.parametrize(
    ("change", "kind", "message"),
    [
        ({"texts": (" \n",)}, DataError, "review: the text is empty"),
        ({"texts": ()}, DataError, "0 texts given"),
        ({"language": "Swahili please"}, ConfigError, "not a BCP-47 code"),
        ({"task": "nonsense"}, ConfigError, "neither bundled"),
        ({"labels": "nonsense"}, ConfigError, "label set 'nonsense'"),
        ({"labels": OWN_WORDS}, ConfigError, "there are none"),
        ({"labels": OWN_WORDS, "words": ("a",)}, ConfigError, "1 given"),
        ({"labels": OWN_WORDS, "words": ("a", " a ")}, ConfigError, "'a' stands for two labels"),
        ({"labels": OWN_WORDS, "words": ("a", 'b"')}, ConfigError, "has a quote"),
        ({"shots": "zh,de,fr"}, ConfigError, "evaluate.shots"),
        ({"task": "copa", "texts": ("a", "because"), "choices": ("b", "c")}, DataError, "not one of cause, effect"),
        ({"task": "copa", "texts": ("a", "cause"), "choices": ("b",)}, DataError, "answers"),
        ({"task": OWN_PROMPT, "words": ()}, ConfigError, "there are none"),
    ],
)
def test_what_cannot_be_asked_says_why(change, kind, message):
    with pytest.raises(kind, match=message) as error:
        asked_item(replace(REVIEW, **change), INPUTS)
    assert len(error.value.problems) == 1
    assert error.value.hint


def test_an_address_keeps_the_question():
    question = Question(
        "copa", "th", (HOSTILE, "cause"), "own", ("a", "b"), (HOSTILE, "c"), "en", "en", blank=False, item="copa-1"
    )
    assert from_query(to_query(question, {"tab": "layers", "places": "8"})) == (
        question,
        {"tab": "layers", "places": "8"},
    )
    assert from_query(to_query(REVIEW, {})) == (REVIEW, {})
    run = {"tab": "run", "run": "runs/mine & yours", "of": "sw"}
    assert from_query(to_query(None, run)) == (None, run)
    assert from_query("") == (None, {})
    assert from_query("?tab=run&nonsense=%ff&&=")[0] is None
