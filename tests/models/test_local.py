"""Contracts 1 and 2: neither the prefix cache nor batch size nor order changes a score."""

from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np
import pytest
import torch

from spillover.core.errors import DataError, ModelError
from spillover.core.types import Prompt
from spillover.models.labels import tokenize_prompts
from spillover.models.local import LocalEngine
from tests.conftest import make_model

EXACT = 1e-4


def scores(model, prompts, **options):
    out = np.full((len(prompts), len(prompts[0].answers)), np.nan, dtype=np.float32)
    for _, batch in LocalEngine(model, **options).score(prompts):
        out[list(batch.index)] = batch.logprobs
    return out


def by_hand(model, prompts):
    """One forward pass per prompt and label, the model's own logits, nothing shared."""
    rows = []
    for prompt in prompts:
        tokenized = tokenize_prompts(model.tokenizer, [prompt])[0]
        row = []
        for label in tokenized.labels:
            ids = torch.tensor([[*tokenized.context, *label]])
            with torch.no_grad():
                logprobs = model.module(ids).logits[0].log_softmax(-1)
            start = len(tokenized.context)
            row.append(sum(logprobs[start - 1 + i, token].item() for i, token in enumerate(label)))
        rows.append(row)
    return np.array(rows)


@pytest.mark.parametrize("language", ["en", "zh", "th"])
@pytest.mark.parametrize("task", ["sentiment", "nli"])
def test_cached_scores_equal_scores_by_hand(tiny, demo_prompts, task, language):
    prompts = demo_prompts(task, language, "native")
    engine = LocalEngine(tiny)
    assert engine.plan(prompts).prefix > 0
    np.testing.assert_allclose(scores(tiny, prompts), by_hand(tiny, prompts), atol=EXACT)


def test_uncached_scores_equal_cached_ones(tiny, demo_prompts):
    prompts = demo_prompts("nli", "de", "native")
    np.testing.assert_allclose(scores(tiny, prompts, prefix_cache=False), scores(tiny, prompts), atol=EXACT)


def test_merged_boundary_scores_equal_scores_by_hand(demo_prompts):
    model = make_model("byte-fallback")
    prompts = demo_prompts("sentiment", "en")
    assert all(item.merged for item in tokenize_prompts(model.tokenizer, prompts))
    np.testing.assert_allclose(scores(model, prompts), by_hand(model, prompts), atol=EXACT)


@pytest.mark.parametrize("batch_tokens", [1, 64, 100_000])
def test_batch_size_changes_nothing(tiny, demo_prompts, batch_tokens):
    prompts = demo_prompts("sentiment", "fr", "native")
    np.testing.assert_allclose(scores(tiny, prompts, batch_tokens=batch_tokens), by_hand(tiny, prompts), atol=EXACT)


def test_order_changes_nothing(tiny, demo_prompts):
    prompts = demo_prompts("sentiment", "fr")
    np.testing.assert_allclose(scores(tiny, prompts[::-1])[::-1], scores(tiny, prompts), atol=EXACT)


def test_one_item_alone_scores_the_same(tiny, demo_prompts):
    prompts = demo_prompts("sentiment", "es")
    np.testing.assert_allclose(scores(tiny, prompts[2:3]), scores(tiny, prompts)[2:3], atol=EXACT)


def test_bf16_says_how_often_a_near_tie_flips(tiny, demo_prompts):
    half = replace(tiny, module=make_model().module.to(torch.bfloat16), dtype=torch.bfloat16)
    prompts = demo_prompts("sentiment", "en", limit=None)
    exact, rounded = scores(tiny, prompts), scores(half, prompts)
    flips = exact.argmax(1) != rounded.argmax(1)
    margins = np.abs(exact[:, 0] - exact[:, 1])
    assert margins[flips].max(initial=0) < 0.5, "only near-ties may flip"


def test_bf16_labels_do_not_tie(tiny, demo_prompts):
    """Two labels whose unembedding rows differ by less than a bfloat16 step of the logit are still told apart."""
    half = replace(tiny, module=make_model().module.to(torch.bfloat16), dtype=torch.bfloat16)
    prompts = [replace(prompt, answers=("p", "n")) for prompt in demo_prompts("sentiment", "en", limit=None)]
    first, second = (half.tokenizer(word).input_ids[0] for word in ("p", "n"))
    with torch.no_grad():
        rows = half.module.lm_head.weight
        rows[second] = rows[first]
        rows[second, 0] *= 1.01
    found = scores(half, prompts)
    assert (found[:, 0] != found[:, 1]).all()
    np.testing.assert_allclose(found[:, 0], found[:, 1], atol=0.2)


def test_sliding_window_model_falls_back_and_stays_exact(demo_prompts, caplog):
    model = make_model(family="gemma2")
    prompts = demo_prompts("sentiment", "en")
    with caplog.at_level(logging.WARNING):
        found = scores(model, prompts)
    np.testing.assert_allclose(found, by_hand(model, prompts), atol=EXACT)
    assert "without a shared prefix" in caplog.text


def test_finished_batches_are_skipped(tiny, demo_prompts):
    prompts = demo_prompts("sentiment", "en")
    numbers = [number for number, _ in LocalEngine(tiny, batch_tokens=64).score(prompts)]
    assert len(numbers) > 2
    rest = [number for number, _ in LocalEngine(tiny, batch_tokens=64).score(prompts, skip=frozenset(numbers[:2]))]
    assert rest == numbers[2:]


def test_last_states_lead_to_the_models_own_logits(tiny, demo_prompts):
    prompts = demo_prompts("sentiment", "en")
    for index, states in LocalEngine(tiny).last_states(prompts):
        for i, item in zip(index, states, strict=True):
            context = tokenize_prompts(tiny.tokenizer, [prompts[i]])[0].context
            with torch.no_grad():
                output = tiny.module(torch.tensor([context]), output_hidden_states=True)
            expected = torch.stack([layer[0, -1] for layer in output.hidden_states])
            torch.testing.assert_close(item, expected, atol=EXACT, rtol=EXACT)


def test_nan_logits_are_named_by_item(demo_prompts):
    model = make_model()
    with torch.no_grad():
        model.module.model.norm.weight.fill_(float("nan"))
    with pytest.raises(ModelError, match="answers NaN for en items sentiment-demo-"):
        scores(model, demo_prompts("sentiment", "en"))


def test_prompt_longer_than_the_context_is_named(demo_prompts):
    model = make_model()
    model.module.config.max_position_embeddings = 40
    with pytest.raises(DataError, match="the model's context is 40"):
        scores(model, demo_prompts("sentiment", "en"))


def test_no_prompts_no_batches(tiny):
    assert list(LocalEngine(tiny).score([])) == []


def test_single_token_context_works(tiny):
    prompts = [Prompt("a", "en", "", "x", ("p", "n")), Prompt("b", "en", "", "y", ("p", "n"))]
    np.testing.assert_allclose(scores(tiny, prompts), by_hand(tiny, prompts), atol=EXACT)
