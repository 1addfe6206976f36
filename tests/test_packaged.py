"""The packaged model itself: it loads, scores the same with and without the cache, and knows English sentiment."""

from __future__ import annotations

import os

import numpy as np
import pytest
import torch
import transformers

from spillover.models.label_tokens import tokenize_prompts
from spillover.models.load import load_model
from spillover.models.local import LocalEngine
from spillover.models.registry import packaged_models
from spillover.stages.evaluate.stage import evaluate
from spillover.stats.summary import summarise
from spillover.tasks.benchmark import open_benchmark

pytestmark = pytest.mark.packaged


@pytest.fixture(scope="module")
def packaged():
    torch.set_num_threads(os.cpu_count() or 1)
    return load_model("smollm2-135m", dtype="float32", device="cpu")


@pytest.mark.parametrize("name", packaged_models())
def test_a_converted_model_is_what_transformers_reads_from_the_gguf_file(name, tmp_path, demo_prompts):
    if not all(packaged_models()[name].files()):
        pytest.skip(f"{name} is not installed")
    torch.set_num_threads(os.cpu_count() or 1)
    joined = tmp_path / "model.gguf"
    joined.write_bytes(b"".join(path.read_bytes() for path in packaged_models()[name].files()))
    direct = transformers.AutoModelForCausalLM.from_pretrained(tmp_path, gguf_file=joined.name, dtype=torch.float32)
    converted = load_model(name, dtype="float32", device="cpu")
    prompt = converted.tokenizer(demo_prompts("sentiment", "en")[0].text, return_tensors="pt")
    with torch.inference_mode():
        first, second = (model(**prompt).logits for model in (direct, converted.module))
        assert torch.equal(first, second)
        ids = [model.generate(**prompt, max_new_tokens=200, do_sample=False) for model in (direct, converted.module)]
    assert torch.equal(*ids)


def scores(model, prompts, **options):
    out = np.zeros((len(prompts), len(prompts[0].answers)), dtype=np.float32)
    engine = LocalEngine(model, **options)
    for batch in engine.score(engine.plan(prompts)):
        out[list(batch.index)] = batch.logprobs
    return out


@pytest.mark.parametrize(("task", "language"), [("sentiment", "zh"), ("nli", "en"), ("paraphrase", "pl")])
def test_the_prefix_cache_changes_nothing(packaged, demo_prompts, task, language):
    prompts = demo_prompts(task, language, "native", limit=4)
    np.testing.assert_allclose(scores(packaged, prompts), scores(packaged, prompts, prefix_cache=False), atol=1e-4)


def test_batches_and_order_change_nothing(packaged, demo_prompts):
    prompts = demo_prompts("sentiment", "en")
    whole = scores(packaged, prompts)
    np.testing.assert_allclose(scores(packaged, prompts, batch_tokens=1), whole, atol=1e-4)
    np.testing.assert_allclose(scores(packaged, prompts[::-1])[::-1], whole, atol=1e-4)


@pytest.mark.parametrize("label_set", ["native", "english", "irrelevant"])
def test_no_bundled_wording_has_two_labels_with_the_same_tokens(packaged, demo_prompts, all_languages, label_set):
    for task in ("sentiment", "nli", "paraphrase"):
        for language in all_languages:
            tokenized = tokenize_prompts(packaged.tokenizer, demo_prompts(task, language, label_set, limit=2))
            assert not any(item.merged for item in tokenized), (task, language)


def test_it_knows_english_sentiment_and_says_it_badly(packaged):
    summary = summarise(evaluate(packaged, open_benchmark("sentiment", languages="en")))[0]
    assert summary.auroc > 0.8


def test_bf16_flips_only_near_ties(packaged, demo_prompts):
    half = load_model("smollm2-135m", dtype="bfloat16", device="cpu")
    assert half.dtype == torch.bfloat16
    prompts = demo_prompts("sentiment", "en", limit=None)
    exact, rounded = scores(packaged, prompts), scores(half, prompts)
    flips = exact.argmax(1) != rounded.argmax(1)
    assert np.abs(exact[:, 0] - exact[:, 1])[flips].max(initial=0) < 0.5
