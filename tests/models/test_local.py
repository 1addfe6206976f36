"""Contracts 1 and 2: neither the prefix cache nor batch size nor order changes a score."""

from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np
import pytest
import torch

from spillover.core.errors import DataError, ModelError
from spillover.core.types import Prompt
from spillover.models.label_tokens import paper_rule_tokens, tokenize_prompts
from spillover.models.local import LocalEngine
from tests.builders import make_model

EXACT = 1e-4


def scores(model, prompts, **options):
    out = np.full((len(prompts), len(prompts[0].answers)), np.nan, dtype=np.float32)
    engine = LocalEngine(model, **options)
    for batch in engine.score(engine.plan(prompts)):
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
    assert len(engine.plan(prompts).prefix) > 0
    assert engine.plan(prompts).shared
    np.testing.assert_allclose(scores(tiny, prompts), by_hand(tiny, prompts), atol=EXACT)


@pytest.mark.parametrize(
    "task", ["sentiment", *(pytest.param(task, marks=pytest.mark.slow) for task in ("nli", "paraphrase", "topic"))]
)
def test_every_bundled_language_scores_as_by_hand(tiny, demo_prompts, all_languages, task):
    for language in all_languages:
        prompts = demo_prompts(task, language, "native", limit=2)
        found, expected = scores(tiny, prompts), by_hand(tiny, prompts)
        np.testing.assert_allclose(found, expected, atol=EXACT, err_msg=language)


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


@pytest.mark.usefixtures("bfloat16_attention")
def test_bf16_says_how_often_a_near_tie_flips(tiny, demo_prompts):
    half = replace(tiny, module=make_model().module.to(torch.bfloat16), dtype=torch.bfloat16)
    prompts = demo_prompts("sentiment", "en", limit=None)
    exact, rounded = scores(tiny, prompts), scores(half, prompts)
    flips = exact.argmax(1) != rounded.argmax(1)
    margins = np.abs(exact[:, 0] - exact[:, 1])
    assert margins[flips].max(initial=0) < 0.5, "only near-ties may flip"


@pytest.mark.usefixtures("bfloat16_attention")
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


ARCHITECTURES = ("llama", "qwen2", "qwen3", "mistral", "gemma2", "gemma3", "gpt_neox")


@pytest.mark.parametrize("family", ARCHITECTURES)
@pytest.mark.parametrize(("task", "label_set"), [("sentiment", "english"), ("nli", "native")])
def test_other_architectures_share_a_prefix_and_stay_exact(family, task, label_set, demo_prompts, caplog):
    """Windows that are shorter than the prompts, soft-capped scores, fused projections, partial rotary positions."""
    model = make_model(family=family)
    prompts = demo_prompts(task, "de", label_set)
    with caplog.at_level(logging.WARNING):
        found = scores(model, prompts)
    np.testing.assert_allclose(found, by_hand(model, prompts), atol=EXACT)
    assert "without a shared prefix" not in caplog.text


def test_windowed_models_really_have_prompts_longer_than_their_window(demo_prompts):
    for family in ("mistral", "gemma2", "gemma3"):
        model = make_model(family=family)
        plan = LocalEngine(model).plan(demo_prompts("nli", "de"))
        assert model.module.config.sliding_window < len(plan.prefix)
        assert max(len(item.body) for item in plan.items) > model.module.config.sliding_window


def test_a_model_that_cannot_share_falls_back_and_says_so(demo_prompts, caplog):
    model = make_model(family="bloom")
    prompts = demo_prompts("sentiment", "en")
    with caplog.at_level(logging.WARNING):
        found = scores(model, prompts)
    np.testing.assert_allclose(found, by_hand(model, prompts), atol=EXACT)
    assert "without a shared prefix" in caplog.text


def test_a_layer_type_that_is_not_known_falls_back(tiny, demo_prompts, caplog):
    model = make_model(family="mistral")
    model.module.config.layer_types = ["full_attention", "linear_attention"]
    assert not LocalEngine(model).plan(demo_prompts("sentiment", "en")).shared
    assert "layers of type linear_attention" in caplog.text


def test_a_model_that_answers_otherwise_with_a_prefix_falls_back(tiny, demo_prompts, monkeypatch, caplog):
    """The check of both ways: attention that goes wrong in a way that nobody foresaw."""
    from spillover.models.fast import prefix_attention as attention

    right = attention.by_products
    monkeypatch.setattr(attention, "by_products", lambda *asked: right(*asked) * (1.5 if asked[1].prefix else 1.0))
    prompts = demo_prompts("sentiment", "en")
    np.testing.assert_allclose(scores(tiny, prompts), by_hand(tiny, prompts), atol=EXACT)
    assert "scores differ by" in caplog.text


def test_the_models_own_attention_is_back_after_scoring(tiny, demo_prompts):
    before = tiny.module.config._attn_implementation
    scores(tiny, demo_prompts("sentiment", "en"))
    assert tiny.module.config._attn_implementation == before


def test_finished_items_are_skipped(tiny, demo_prompts):
    engine = LocalEngine(tiny, batch_tokens=64)
    plan = engine.plan(demo_prompts("sentiment", "en"))
    batches = [batch.index for batch in engine.score(plan)]
    assert len(batches) > 2
    rest = [batch.index for batch in engine.score(plan, skip=frozenset((*batches[0], *batches[1])))]
    assert rest == batches[2:]


def test_out_of_memory_halves_the_batches_and_goes_on(tiny, demo_prompts, monkeypatch, caplog):
    prompts = demo_prompts("sentiment", "en")
    expected = scores(tiny, prompts)
    score = LocalEngine._score

    def scarce(self, plan, batch, **options):
        if len(batch) > 2:
            raise RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory")
        return score(self, plan, batch, **options)

    monkeypatch.setattr(LocalEngine, "_score", scarce)
    np.testing.assert_allclose(scores(tiny, prompts), expected, atol=EXACT)
    assert "out of memory: continuing with 2048 tokens a batch" in caplog.text


def test_out_of_memory_on_one_item_alone_is_an_error(tiny, demo_prompts, monkeypatch):
    def scarce(*_, **__):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(LocalEngine, "_score", scarce)
    with pytest.raises(ModelError, match="out of memory with tiny on one item alone"):
        scores(tiny, demo_prompts("sentiment", "en"))


def test_other_runtime_errors_are_not_taken_for_out_of_memory(tiny, demo_prompts, monkeypatch):
    def broken(*_, **__):
        raise RuntimeError("shapes differ")

    monkeypatch.setattr(LocalEngine, "_score", broken)
    with pytest.raises(RuntimeError, match="shapes differ"):
        scores(tiny, demo_prompts("sentiment", "en"))


@pytest.mark.parametrize("prefix_cache", [True, False])
def test_the_papers_rule_sums_over_tokens_that_begin_the_label(tiny, demo_prompts, prefix_cache):
    prompts = demo_prompts("nli", "en")
    found = scores(tiny, prompts, rule="paper", prefix_cache=prefix_cache)
    ids = paper_rule_tokens(tiny.token_bytes, prompts[0].answers)
    for prompt, row in zip(prompts, found, strict=True):
        context = tokenize_prompts(tiny.tokenizer, [prompt])[0].context
        with torch.no_grad():
            shares = tiny.module(torch.tensor([context])).logits[0, -1].softmax(-1)
        np.testing.assert_allclose(np.exp(row), [shares[own].sum().item() for own in ids], rtol=1e-4)


def test_a_plan_counts_what_is_computed_and_what_is_saved(tiny, demo_prompts):
    prompts = demo_prompts("nli", "en", "native")
    plan = LocalEngine(tiny).plan(prompts)
    longest = [max(len(label) for label in item.labels) for item in plan.items]
    assert plan.computed < plan.whole
    assert plan.whole >= sum(item.context for item in plan.items) + max(longest) - 1
    assert plan.computed == len(plan.prefix) + sum(item.size for item in plan.items)


def test_the_rate_is_measured(tiny, demo_prompts):
    engine = LocalEngine(tiny)
    assert engine.tokens_per_second(engine.plan(demo_prompts("sentiment", "en"))) > 0
    assert np.isnan(engine.tokens_per_second(engine.plan([])))


def test_nan_logits_are_named_by_item(demo_prompts):
    model = make_model()
    with torch.no_grad():
        model.module.model.norm.weight.fill_(float("nan"))
    with pytest.raises(ModelError, match="non-finite scores for en items sentiment-demo-"):
        scores(model, demo_prompts("sentiment", "en"))


def test_prompt_longer_than_the_context_is_named(demo_prompts):
    model = make_model()
    model.module.config.max_position_embeddings = 40
    with pytest.raises(DataError, match="the model's context is 40"):
        scores(model, demo_prompts("sentiment", "en"))


def test_no_prompts_no_batches(tiny):
    engine = LocalEngine(tiny)
    assert list(engine.score(engine.plan([]))) == []


def test_single_token_context_works(tiny):
    prompts = [Prompt("a", "en", "", "x", ("p", "n")), Prompt("b", "en", "", "y", ("p", "n"))]
    np.testing.assert_allclose(scores(tiny, prompts), by_hand(tiny, prompts), atol=EXACT)


def test_as_many_prefixes_stay_in_memory_as_are_asked_for(tiny, demo_prompts, monkeypatch):
    engine = LocalEngine(tiny, kept_prefixes=2)
    computed = []
    compute = engine._compute_prefix
    monkeypatch.setattr(
        engine, "_compute_prefix", lambda plan, *rest: computed.append(plan.prompts[0].language) or compute(plan, *rest)
    )
    for language in ("en", "de", "en", "th", "en", "de"):
        prompts = demo_prompts("sentiment", language)
        for batch in engine.score(engine.plan(prompts)):
            expected = scores(tiny, prompts)[list(batch.index)]
            np.testing.assert_allclose(batch.logprobs, expected, atol=EXACT)
    assert computed == ["en", "de", "th", "de"]
