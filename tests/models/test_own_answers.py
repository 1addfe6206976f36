"""Choices and pairs: one tree for all answers of an item scores as one plain forward pass for each of them."""

from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np
import pytest
import torch

from spillover.core.errors import DataError, ModelError
from spillover.core.types import Prompt
from spillover.models.engine import label_scores
from spillover.models.label_tokens import begin_token, tokenize_prompts
from spillover.models.local import LocalEngine
from spillover.tasks.benchmark import open_benchmark
from spillover.tasks.prompts import render
from tests.builders import KIND_DATA, TOKENIZERS, kind_task, make_model, make_tokenizer

EXACT = 1e-4
ARCHITECTURES = ("llama", "qwen3", "mistral", "gemma3", "gpt_neox")


def kind_prompts(task, language="en"):
    benchmark = open_benchmark(kind_task(task), data=KIND_DATA, languages=[language])
    return benchmark.task, benchmark.prompts("english", "own")[language]


def scored(model, prompts, **options):
    """[items, answers] log-probabilities, and how many tokens each is the sum of."""
    engine = LocalEngine(model, **options)
    plan = engine.plan(prompts)
    logprobs, tokens = (np.full((len(prompts), plan.n_answers), np.nan) for _ in range(2))
    for batch in engine.score(plan):
        logprobs[list(batch.index)], tokens[list(batch.index)] = batch.logprobs, batch.label_tokens
    return logprobs, tokens


def plain_forward(model, prompts):
    """One forward pass per item and answer, from whole texts: token ids, logits, and the tokens after the prompt's."""
    found = []
    for prompt in prompts:
        tokenized = tokenize_prompts(model.tokenizer, [prompt])[0]
        row = []
        for answer, label in zip(prompt.answers, tokenized.labels, strict=True):
            if prompt.text:
                ids = model.tokenizer(prompt.text + answer).input_ids
            else:
                ids = [model.tokenizer.bos_token_id, *model.tokenizer(answer, add_special_tokens=False).input_ids]
            assert ids == [*tokenized.context, *label]
            with torch.no_grad():
                logprobs = model.module(torch.tensor([ids])).logits[0].log_softmax(-1)
            first = len(tokenized.context)
            row.append(sum(logprobs[at - 1, ids[at]].item() for at in range(first, len(ids))))
        found.append(row)
    return found


def assert_equal(found, expected):
    for row, values in zip(found, expected, strict=True):
        np.testing.assert_allclose(row[: len(values)], values, atol=EXACT)
        assert np.isneginf(row[len(values) :]).all()


@pytest.mark.parametrize("prefix_cache", [True, False])
@pytest.mark.parametrize("tokenizer", TOKENIZERS)
@pytest.mark.parametrize("family", ARCHITECTURES)
@pytest.mark.parametrize("task", ["reading", "agreement"])
def test_one_tree_scores_as_a_plain_forward_per_answer(task, family, tokenizer, prefix_cache, caplog):
    model = make_model(tokenizer, family=family)
    _, prompts = kind_prompts(task)
    prompts = [prompt for prompt in prompts if distinct(model, prompt)]
    assert len(prompts) >= 5
    with caplog.at_level(logging.WARNING):
        found, _ = scored(model, prompts, prefix_cache=prefix_cache)
    assert "without a shared prefix" not in caplog.text
    assert_equal(found, plain_forward(model, prompts))


def distinct(model, prompt):
    """Whether a tokenizer that knows few characters tells an item's answers apart."""
    try:
        return bool(tokenize_prompts(model.tokenizer, [prompt]))
    except DataError:
        return False


@pytest.mark.parametrize("batch_tokens", [1, 64, 100_000])
@pytest.mark.parametrize("task", ["reading", "agreement"])
def test_batch_size_changes_nothing(task, batch_tokens, tiny):
    _, prompts = kind_prompts(task, "de")
    assert_equal(scored(tiny, prompts, batch_tokens=batch_tokens)[0], plain_forward(tiny, prompts))


def test_windowed_models_have_texts_longer_than_their_window():
    model = make_model(family="mistral")
    for task in ("reading", "agreement"):
        plan = LocalEngine(model).plan(kind_prompts(task)[1])
        assert max(item.size for item in plan.items) > model.module.config.sliding_window


def test_what_the_answers_of_an_item_share_is_computed_once(tiny):
    for task in ("reading", "agreement"):
        plan = LocalEngine(tiny).plan(kind_prompts(task)[1])
        assert plan.shared
        alone = sum(len(plan.prefix) + len(item.body) + len(label) for item in plan.items for label in item.labels)
        assert plan.computed < 0.8 * alone
    item = plan.items[0]
    common = next(i for i, pair in enumerate(zip(*item.labels, strict=False)) if pair[0] != pair[1])
    assert common > 5
    assert len(item.tree.tokens) == sum(map(len, item.labels)) - common - 2


def test_scores_hold_items_with_different_numbers_of_answers(tiny):
    task, prompts = kind_prompts("reading")
    engine = LocalEngine(tiny)
    plan = engine.plan(prompts)
    scores = label_scores(task, prompts, list(engine.score(plan)))
    assert scores.kind == "choices"
    assert scores.length == "byte"
    assert scores.labels == tuple("0123456789")
    counts = np.array([len(prompt.answers) for prompt in prompts])
    there = np.arange(10) < counts[:, None]
    assert set(counts) == {2, 3, 4}
    assert np.isfinite(scores.logprobs[there]).all()
    assert np.isneginf(scores.logprobs[~there]).all()
    assert (scores.label_tokens[there] > 0).all()
    assert not scores.label_tokens[~there].any()
    assert not scores.answer_bytes[~there].any()
    assert scores.answer_bytes[0, :3].tolist() == [15, 10, 11]
    assert scores.clusters == tuple(f"text-{i}" for i in (1, 1, 2, 2, 3, 3, 4, 4))


def test_a_pairs_texts_begin_after_the_begin_token(tiny):
    _, prompts = kind_prompts("agreement")
    for item in tokenize_prompts(tiny.tokenizer, prompts):
        assert item.context == (tiny.tokenizer.bos_token_id,)
        assert not item.merged


def test_without_a_begin_token_the_end_token_begins():
    tokenizer = make_tokenizer("byte-level")
    assert begin_token(tokenizer) == tokenizer.bos_token_id
    tokenizer.bos_token = None
    assert begin_token(tokenizer) == tokenizer.eos_token_id
    tokenizer.eos_token = None
    with pytest.raises(ModelError, match="neither a begin nor an end token"):
        begin_token(tokenizer)


def test_a_text_with_its_own_begin_token_has_it_once(tiny):
    with_token = Prompt("a", "en", "", "", ("<s>good", "<s>bad"))
    without = replace(with_token, answers=("good", "bad"))
    assert tokenize_prompts(tiny.tokenizer, [with_token]) == tokenize_prompts(tiny.tokenizer, [without])


def test_texts_that_tokenize_alike_are_refused():
    model = make_model("whole-words")
    with pytest.raises(DataError, match="en a: the labels 'k' and 'z' have the same tokens"):
        tokenize_prompts(model.tokenizer, [Prompt("a", "en", "", "", ("k", "z"))])


def test_non_finite_scores_are_found_beside_answers_that_are_not_there():
    model = make_model()
    with torch.no_grad():
        model.module.model.norm.weight.fill_(float("nan"))
    with pytest.raises(ModelError, match="non-finite scores for en items reading-"):
        scored(model, kind_prompts("reading")[1])


def test_prompts_of_choices_hold_the_right_answer_of_each_shot():
    task, prompts = kind_prompts("reading")
    assert prompts[0].prefix == (
        "The bakery opens at six and sells out by noon.\nQuestion: When does the bakery open?\nAnswer: at six\n\n"
    )
    assert prompts[0].body.endswith("Question: Where are the goats kept?\nAnswer:")
    assert prompts[0].answers == (" behind the mill", " by the sea", " on the roof")
    assert render(task, [], label_set="english") == []
