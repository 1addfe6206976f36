"""The packaged models themselves: the contracts of the engine, the lens and the merge hold on real weights."""

from __future__ import annotations

import os

import numpy as np
import peft
import pytest
import torch
import transformers

from spillover.core.config import ModelConfig
from spillover.models.hidden_states import residuals
from spillover.models.label_tokens import tokenize_prompts
from spillover.models.load import attach_adapter, load_model, share_weights
from spillover.models.local import LocalEngine
from spillover.models.registry import packaged_models
from spillover.stages.evaluate.stage import evaluate
from spillover.stages.probe.lens import LogitLens
from spillover.stages.train.merging import merge
from spillover.stats.summary import summarise
from spillover.tasks.benchmark import open_benchmark
from spillover.tasks.wording import bundled_tasks, load_task

pytestmark = pytest.mark.packaged


@pytest.fixture(scope="module", params=packaged_models())
def packaged(request):
    if not all(packaged_models()[request.param].files()):
        pytest.skip(f"{request.param} is not installed")
    torch.set_num_threads(os.cpu_count() or 1)
    return load_model(request.param, dtype="float32", device="cpu")


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
    for task in [name for name in bundled_tasks() if load_task(name).kind == "labels"]:
        for language in all_languages:
            tokenized = tokenize_prompts(packaged.tokenizer, demo_prompts(task, language, label_set, limit=2))
            assert not any(item.merged for item in tokenized), (task, language)


def test_the_lens_at_the_last_layer_gives_the_models_own_logits(packaged, demo_prompts):
    ids = packaged.tokenizer(demo_prompts("sentiment", "th", "native")[0].text, return_tensors="pt")["input_ids"]
    by_layer = []
    with torch.inference_mode(), residuals(packaged.module, lambda states: by_layer.append(states.clone())):
        logits = packaged.module(ids, use_cache=False).logits[0]
    assert len(by_layer) == packaged.layers + 1
    torch.testing.assert_close(
        LogitLens(packaged).logprobs(by_layer[-1]), logits.log_softmax(dim=-1), atol=1e-4, rtol=0
    )


def test_merged_weights_score_as_base_plus_adapter(packaged, demo_prompts, tmp_path):
    torch.manual_seed(0)
    config = peft.LoraConfig(target_modules=["q_proj", "v_proj"], init_lora_weights=False, task_type="CAUSAL_LM")
    peft.get_peft_model(share_weights(packaged.module), config).save_pretrained(tmp_path / "adapter")
    prompts = demo_prompts("sentiment", "es", "native", limit=4)
    tuned = attach_adapter(packaged, str(tmp_path / "adapter"))
    merge(ModelConfig(name=packaged.ref.name, device="cpu"), tmp_path / "adapter", tmp_path / "merged", prompts)
    merged = load_model(str(tmp_path / "merged"), dtype="float32", device="cpu")
    np.testing.assert_allclose(scores(merged, prompts), scores(tuned, prompts), atol=1e-3)
    assert np.abs(scores(merged, prompts) - scores(packaged, prompts)).max() > 0.01


def test_it_knows_english_sentiment_and_says_it_badly(packaged):
    summary = summarise(evaluate(packaged, open_benchmark("sentiment", languages="en")))[0]
    assert summary.auroc > 0.8


def test_bf16_flips_only_near_ties(packaged, demo_prompts):
    half = load_model(packaged.ref.name, dtype="bfloat16", device="cpu")
    assert half.dtype == torch.bfloat16
    prompts = demo_prompts("sentiment", "en", limit=None)
    exact, rounded = scores(packaged, prompts), scores(half, prompts)
    flips = exact.argmax(1) != rounded.argmax(1)
    assert np.abs(exact[:, 0] - exact[:, 1])[flips].max(initial=0) < 0.5
