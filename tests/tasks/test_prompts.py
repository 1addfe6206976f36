from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spillover.core.errors import ConfigError
from spillover.core.types import Example
from spillover.tasks.prompts import answers, question, render, shot_block
from spillover.tasks.wording import load_task


def test_a_prompt_is_shots_then_the_question_up_to_the_open_quote():
    task = load_task("sentiment")
    example = Example("a", "en", {"review": "It broke."}, "negative")
    prompt = render(task, [example], label_set="english")[0]
    assert prompt.body == 'Review: It broke.\nSentiment: "'
    assert prompt.prefix.count('"\n\n') == 2
    assert prompt.prefix.endswith('Sentiment: "negative"\n\n')
    assert prompt.answers == ("positive", "negative")
    assert prompt.text == prompt.prefix + prompt.body


def test_native_labels_stand_in_the_shots_and_the_answers():
    task = load_task("nli")
    words = answers(task, "native", "zh")
    block = shot_block(task, "native", "zh")
    assert all(f'"{word}"' in block for word in words)
    assert words != answers(task, "english", "zh")


def test_shots_in_another_language_keep_the_items_label_words():
    task = load_task("sentiment")
    block = shot_block(task, "native", "de", shots="en")
    assert "Review: " in block
    assert '"positiv"' in block


@given(st.text(alphabet=st.sampled_from("{}abreviwnsoe_ \\"), max_size=30))
def test_braces_in_a_text_are_only_text(text):
    task = load_task("sentiment")
    assert question(task, Example("a", "en", {"review": text})) == f'Review: {text}\nSentiment: "'


def test_unknown_label_set_and_language_are_named():
    task = load_task("sentiment")
    with pytest.raises(ConfigError, match="label set 'french'"):
        answers(task, "french", "en")
    with pytest.raises(ConfigError, match="no wording in 'ko'"):
        answers(task, "native", "ko")
