from __future__ import annotations

import json

import pytest

from spillover.core.config import TranslatorConfig
from spillover.core.errors import ConfigError, DataError
from spillover.models.translators.few_shot import chat_messages, continued_text, examples
from spillover.tasks.shots import shot_sentences
from spillover.tasks.wording import load_task
from tests.models.translators.builders import ENGLISH, GERMAN, SWAHILI

OWN = {"en": ["one", "two"], "de": ["eins", "zwei"], "sw": ["moja", "mbili"]}


def test_examples_are_own_sentences_and_then_the_packages():
    found = examples(TranslatorConfig(), ENGLISH, GERMAN, OWN)
    assert found[:2] == [("one", "eins"), ("two", "zwei")]
    assert len(found) == 4
    assert examples(TranslatorConfig(), ENGLISH, SWAHILI, OWN) == [("one", "moja"), ("two", "mbili")]
    assert examples(TranslatorConfig(shots=1), ENGLISH, GERMAN, OWN) == [("one", "eins")]
    assert examples(TranslatorConfig(shots=0), ENGLISH, GERMAN, OWN) == []


def test_a_language_without_examples_is_said(caplog):
    caplog.set_level("INFO")
    assert examples(TranslatorConfig(), GERMAN, SWAHILI) == []
    assert "no examples of German and Swahili" in caplog.text


def test_a_file_of_examples_takes_the_place_of_others(tmp_path):
    path = tmp_path / "examples.jsonl"
    path.write_text('{"en": "a", "de": "b"}\n{"en": "c"}\n', encoding="utf-8")
    config = TranslatorConfig(examples=str(path))
    assert examples(config, ENGLISH, GERMAN, OWN) == [("a", "b")]
    with pytest.raises(ConfigError, match="has no row with en and sw"):
        examples(config, ENGLISH, SWAHILI, OWN)


@pytest.mark.parametrize("value", [3, "", "two\nlines"])
def test_an_example_that_is_no_line_of_text_is_named(tmp_path, value):
    path = tmp_path / "examples.jsonl"
    path.write_text(json.dumps({"en": value}) + "\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"examples\.jsonl:1: 'en' is not one line of text"):
        examples(TranslatorConfig(examples=str(path)), ENGLISH, GERMAN)


def test_prompts_as_text_and_as_turns():
    text = continued_text([("one", "eins")], ENGLISH, GERMAN, "two")
    assert text == "Translate from English to German.\n\nEnglish: one\nGerman: eins\n\nEnglish: two\nGerman:"
    turns = chat_messages([("one", "eins")], ENGLISH, GERMAN, "two")
    instruction = "Translate from English to German. Answer with the translation alone."
    assert [turn["role"] for turn in turns] == ["user", "assistant", "user"]
    assert [turn["content"] for turn in turns] == [f"{instruction}\n\none", "eins", f"{instruction}\n\ntwo"]


@pytest.mark.parametrize("task", ["sentiment", "nli", "reading", "topic"])
def test_the_shots_of_a_task_are_parallel_sentences_in_every_language(task):
    sentences = shot_sentences(load_task(task))
    assert len(sentences) == 20
    assert len({len(of_language) for of_language in sentences.values()}) == 1
    assert all(sentence and "\n" not in sentence for of_language in sentences.values() for sentence in of_language)
