"""Contract 3: a label's tokens are those of prompt + label, for every bundled language and several tokenizers."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spillover.core.errors import DataError, ModelError
from spillover.core.types import Prompt
from spillover.models.label_tokens import common_prefix_length, paper_rule_tokens, tokenize_prompts
from spillover.models.token_bytes import vocabulary_bytes
from spillover.tasks.wording import bundled_tasks, load_task
from tests.builders import TOKENIZERS, make_tokenizer

KINDS = ("byte-level", "byte-fallback")
WITH_PROMPT = [name for name in bundled_tasks() if load_task(name).kind != "pairs"]
"""A pair is read from the begin token on, also where the tokenizer itself puts none there."""


def prompt_of(text: str, answers: tuple[str, ...]) -> Prompt:
    return Prompt("item", "en", "", text, answers)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("label_set", ["native", "english", "irrelevant"])
@pytest.mark.parametrize("task", WITH_PROMPT)
def test_context_and_label_are_the_tokens_of_the_whole_text(kind, task, label_set, demo_prompts, all_languages):
    tokenizer = make_tokenizer(kind)
    for language in all_languages:
        for prompt in demo_prompts(task, language, label_set, limit=2):
            tokenized = tokenize_prompts(tokenizer, [prompt])[0]
            for answer, tokens in zip(prompt.answers, tokenized.labels, strict=True):
                whole = tokenizer(prompt.text + answer).input_ids
                assert [*tokenized.context, *tokens] == whole, (language, answer)


@pytest.mark.parametrize("kind", KINDS)
@given(
    text=st.text(min_size=1, max_size=12),
    answers=st.lists(st.text(min_size=1, max_size=6), min_size=2, max_size=3, unique=True),
)
@settings(max_examples=150)
def test_any_text_splits_where_all_labels_agree(kind, text, answers):
    tokenizer = make_tokenizer_once(kind)
    prompt = prompt_of("x" + text, tuple(answers))
    tokenized = tokenize_prompts(tokenizer, [prompt])[0]
    for answer, tokens in zip(prompt.answers, tokenized.labels, strict=True):
        assert [*tokenized.context, *tokens] == tokenizer(prompt.text + answer).input_ids
        assert tokens
        if kind == "byte-level" and not tokenized.merged:
            assert tokenizer.decode(tokens) == answer


_MADE = {}


def make_tokenizer_once(kind):
    if kind not in _MADE:
        _MADE[kind] = make_tokenizer(kind)
    return _MADE[kind]


def test_merged_boundary_is_seen_and_scored_from_a_shared_token():
    tokenizer = make_tokenizer("byte-fallback")
    prompt = prompt_of('Review: good. Sentiment: "', ("positive", "negative"))
    tokenized = tokenize_prompts(tokenizer, [prompt])[0]
    assert tokenized.merged
    for answer, tokens in zip(prompt.answers, tokenized.labels, strict=True):
        assert [*tokenized.context, *tokens] == tokenizer(prompt.text + answer).input_ids


def test_clean_boundary_is_not_called_merged():
    tokenizer = make_tokenizer("byte-level")
    tokenized = tokenize_prompts(tokenizer, [prompt_of('Sentiment: "', ("positive", "negative"))])[0]
    assert not tokenized.merged
    assert list(tokenized.context) == tokenizer('Sentiment: "').input_ids


def test_multi_byte_characters_are_not_taken_apart():
    tokenizer = make_tokenizer("byte-level")
    prompt = prompt_of('Answer: "', ("蕴含", "蕴"))
    tokenized = tokenize_prompts(tokenizer, [prompt])[0]
    assert [tokenizer.decode(tokens) for tokens in tokenized.labels] == ["蕴含", "蕴"]


def test_labels_with_the_same_tokens_are_refused():
    assert "whole-words" in TOKENIZERS
    tokenizer = make_tokenizer("whole-words")
    with pytest.raises(DataError, match="'蕴' and '矛' have the same tokens"):
        tokenize_prompts(tokenizer, [prompt_of("good", ("蕴", "矛"))])


def test_common_prefix_length():
    assert common_prefix_length([(1, 2, 3), (1, 2), (1, 2, 4)]) == 2
    assert common_prefix_length([(1,), (2,)]) == 0


def test_the_papers_rule_takes_string_prefixes_and_the_first_byte():
    tokenizer = make_tokenizer("byte-level")
    spelled = vocabulary_bytes(tokenizer)
    (negative, chinese) = paper_rule_tokens(spelled, ("negative", "蕴含"))
    assert {spelled[i] for i in negative} == {own for own in set(spelled) if own and b"negative".startswith(own)}
    assert {spelled[i] for i in chinese} >= {"蕴".encode()[:1]}
    assert all(len(spelled[i]) == 1 or spelled[i].decode() for i in chinese)


def test_the_papers_rule_refuses_a_label_that_no_token_begins():
    with pytest.raises(ModelError, match="no token of the model begins the label 'Zebra'"):
        paper_rule_tokens(vocabulary_bytes(make_tokenizer("whole-words")), ("positive", "Zebra"))


@pytest.mark.parametrize("kind", TOKENIZERS)
def test_the_question_starts_with_the_first_token_that_reaches_past_the_shots(kind, demo_prompts):
    tokenizer = make_tokenizer(kind)
    for prompt in demo_prompts("sentiment", "de", limit=3):
        (item,) = tokenize_prompts(tokenizer, [prompt])
        encoding = tokenizer(prompt.text).encodings[0]
        ends = [span[1] for span in encoding.offsets]
        assert item.question == next(i for i, end in enumerate(ends) if end > len(prompt.prefix))
        assert 0 < item.question < len(item.context)
    (whole,) = tokenize_prompts(tokenizer, demo_prompts("blimp", "en", limit=1))
    assert (whole.question, len(whole.context)) == (1, 1)
