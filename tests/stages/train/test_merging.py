"""Contract 4: merged equals base plus adapter on real prompts, and differs from the base."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from spillover.core.config import BuildConfig, EvaluateConfig, ModelConfig, TrainConfig
from spillover.core.errors import ModelError
from spillover.models.load import attach_adapter, load_model
from spillover.models.local import LocalEngine
from spillover.stages.build import build_pairs
from spillover.stages.train.merging import merge
from spillover.stages.train.stage import train
from spillover.tasks.benchmark import open_benchmark
from tests.builders import KIND_DATA, kind_task
from tests.models.chat_templates import chat_model


@pytest.fixture
def trained(tiny_folder, tmp_path):
    """(config of a base on disk, its trained adapter)"""
    config = ModelConfig(name=str(tiny_folder), dtype="float32", device="cpu")
    pairs = build_pairs("sentiment", languages=["es"], config=BuildConfig(pairs=8))
    tuning = TrainConfig(epochs=2, batch=4, rank=2, learning_rate=1e-2, validation=0.0)
    train(load_model(config.name, dtype="float32"), pairs, out=tmp_path / "run", config=tuning)
    return config, tmp_path / "run" / "train" / "adapter"


def scores(model, prompts):
    engine = LocalEngine(model)
    return np.concatenate([batch.logprobs for batch in engine.score(engine.plan(prompts))])


def test_merged_weights_score_as_base_plus_adapter(trained, tmp_path, demo_prompts):
    config, adapter = trained
    prompts = demo_prompts("sentiment", "de", "native")
    facts = merge(config, adapter, tmp_path / "merged", prompts)
    base = load_model(config.name, dtype="float32")
    tuned, merged = attach_adapter(base, str(adapter)), load_model(str(tmp_path / "merged"), dtype="float32")
    np.testing.assert_allclose(scores(merged, prompts), scores(tuned, prompts), atol=1e-4)
    assert np.abs(scores(merged, prompts) - scores(base, prompts)).max() == pytest.approx(
        facts["max_change_vs_base"], abs=1e-3
    )
    assert facts["max_diff_vs_adapter"] <= 1e-3 < facts["max_change_vs_base"]
    files = {path.name for path in (tmp_path / "merged").iterdir()}
    assert {"config.json", "model.safetensors", "tokenizer.json", "merge.json"} <= files
    assert not any(name.endswith((".bin", ".pt", ".pkl")) for name in files)
    assert json.loads((tmp_path / "merged" / "merge.json").read_text())["fingerprint"] == tuned.ref.fingerprint


def test_the_gate_asks_in_the_chat_form_of_the_evaluation(trained, tmp_path, demo_prompts):
    config, adapter = trained
    plain, asked = load_model(config.name), chat_model("chatml")
    plain.tokenizer.chat_template = asked.tokenizer.chat_template
    plain.tokenizer.save_pretrained(config.name)
    prompts = demo_prompts("sentiment", "en")
    changes = [
        merge(config, adapter, tmp_path / form, prompts, evaluate=EvaluateConfig(chat=form))["max_change_vs_base"]
        for form in ("off", "turns")
    ]
    assert changes[0] != changes[1]
    assert load_model(str(tmp_path / "turns")).tokenizer.chat_template == asked.tokenizer.chat_template


def test_prompts_with_different_numbers_of_answers_are_compared_too(trained, tmp_path):
    prompts = open_benchmark(kind_task("reading"), data=KIND_DATA, languages=["en"]).prompts("english", "own")["en"]
    assert len({len(prompt.answers) for prompt in prompts}) > 1
    facts = merge(*trained, tmp_path / "merged", prompts)
    assert facts["max_diff_vs_adapter"] <= 1e-3 < facts["max_change_vs_base"]


def test_an_adapter_that_changes_nothing_is_not_merged(trained, tmp_path, demo_prompts):
    config, adapter = trained
    weights = load_file(adapter / "adapter_model.safetensors")
    save_file(
        {name: torch.zeros_like(tensor) for name, tensor in weights.items()}, adapter / "adapter_model.safetensors"
    )
    with pytest.raises(ModelError, match="it changes nothing"):
        merge(config, adapter, tmp_path / "merged", demo_prompts("sentiment", "en"))
    assert not (tmp_path / "merged").exists()


def test_weights_that_fail_the_gate_are_not_written(trained, tmp_path, demo_prompts, monkeypatch):
    from peft import PeftModel

    config, adapter = trained
    unload = PeftModel.__getattr__

    def spoiled(self, name):
        found = unload(self, name)
        if name != "merge_and_unload":
            return found

        def merge_badly(*arguments, **options):
            module = found(*arguments, **options)
            with torch.no_grad():
                module.model.layers[0].self_attn.q_proj.weight.add_(0.5)
            return module

        return merge_badly

    monkeypatch.setattr(PeftModel, "__getattr__", spoiled)
    with pytest.raises(ModelError, match="differ from base plus adapter"):
        merge(config, adapter, tmp_path / "merged", demo_prompts("sentiment", "en"))
    assert not (tmp_path / "merged").exists()
