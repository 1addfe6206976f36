from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spillover.core.errors import ConfigError
from spillover.core.types import Example, Task, Turn, Wording
from spillover.tasks.prompts import answer_prompt, answers, content_free, question, render, shot_block
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


def test_codes_are_said_in_the_words_of_the_language():
    task = load_task("copa")
    example = Example("a", "de", {"premise": "Es blieb dunkel.", "question": "effect"}, "0", ("Wir warteten.", "Nein."))
    (prompt,) = render(task, [example], label_set="native")
    assert prompt.body == "Es blieb dunkel.\nFrage: Was geschah daraufhin?\nAntwort:"
    assert prompt.answers == (" Wir warteten.", " Nein.")
    assert prompt.turns[-1] == Turn("Es blieb dunkel.\nFrage: Was geschah daraufhin?", "Antwort:")
    assert "Frage: Was war die Ursache?\nAntwort: Es hatte angefangen zu regnen.\n\n" in prompt.prefix
    assert "cause" not in prompt.prefix


def test_unknown_label_set_and_language_are_named():
    task = load_task("sentiment")
    with pytest.raises(ConfigError, match="label set 'french'"):
        answers(task, "french", "en")
    with pytest.raises(ConfigError, match="no wording in 'ko'"):
        answers(task, "native", "ko")


@pytest.mark.parametrize(
    ("template", "question", "answer"),
    [
        ('{word}: {text}\n{answer}: "', "Text: good", 'Answer: "'),
        ("{word}: {text} {answer}:", "Text: good", "Answer:"),
        ('{word}: {text}\nIs it so?\n{answer}: "', "Text: good\nIs it so?", 'Answer: "'),
        ("{answer} {word} {text}", "Answer Text good", ""),
    ],
)
def test_the_answers_part_of_a_turn_is_the_last_line_or_what_follows_a_field_in_it(template, question, answer):
    wording = Wording(
        "en", "written", {"word": "Text", "answer": "Answer"}, {"a": "yes", "b": "no"}, {"s": {"text": "bad"}}
    )
    task = Task("t", 1, "", ("text",), ("a", "b"), template, {}, {"s": "b"}, {"en": wording}, "f")
    prompt = render(task, [Example("i", "en", {"text": "good"}, "a")], label_set="native")[0]
    assert prompt.turns[-1] == Turn(question, answer)
    assert prompt.turns[0] == Turn(question.replace("good", "bad"), answer + 'no"')
    assert prompt.turns[0].answer in prompt.prefix
    (free,) = content_free(task, prompt, ["N/A"])
    assert free.turns == (prompt.turns[0], Turn(question.replace("good", "N/A"), answer))
    assert (free.gold, free.content) == (None, "")
    alone = answer_prompt(task, prompt).turns
    assert [turn.answer for turn in alone] == [answer]
    assert alone[0].question in question
