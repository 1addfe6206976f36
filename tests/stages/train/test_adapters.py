"""Every method: trains, leaves the base alone, is saved for the base as it was, and passes the merge gate."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from spillover.core.config import BuildConfig, ModelConfig, TrainConfig
from spillover.core.errors import ConfigError
from spillover.core.runs import Run
from spillover.models.adapter_layers import changed_layers
from spillover.models.load import attach_adapter, load_model
from spillover.models.local import LocalEngine
from spillover.stages.build import build_pairs
from spillover.stages.train import stage
from spillover.stages.train.adapters import METHOD_OPTIONS, with_adapter
from spillover.stages.train.merging import merge
from spillover.stages.train.stage import train
from spillover.stages.train.trainer import CompletionTrainer
from tests.builders import make_model

CONFIG = TrainConfig(epochs=2, batch=4, rank=2, learning_rate=1e-2, validation=0.0, checkpoint_steps=99)


@pytest.fixture(scope="module")
def pairs():
    return build_pairs("sentiment", languages=["es"], config=BuildConfig(pairs=8))


def scores(model, prompts):
    engine = LocalEngine(model)
    return np.concatenate([batch.logprobs for batch in engine.score(engine.plan(prompts))])


@pytest.mark.parametrize("method", METHOD_OPTIONS)
def test_an_adapter_of_each_method_trains_reattaches_and_merges(
    method, pairs, tiny_folder, tmp_path, demo_prompts, monkeypatch
):
    base = load_model(str(tiny_folder), dtype="float32", device="cpu")
    before = {name: tensor.clone() for name, tensor in base.module.state_dict().items()}
    trained_modules = []

    class RecordingTrainer(CompletionTrainer):
        def __init__(self, **options):
            super().__init__(**options)
            trained_modules.append(self.model)

    monkeypatch.setattr(stage, "CompletionTrainer", RecordingTrainer)
    config = CONFIG.model_copy(update={"method": method, "targets": "all-linear"})
    train(base, pairs, out=tmp_path / "run", config=config)
    assert all(torch.equal(tensor, before[name]) for name, tensor in base.module.state_dict().items())
    adapter = tmp_path / "run" / "train" / "adapter"
    again = attach_adapter(load_model(str(tiny_folder), dtype="float32", device="cpu"), str(adapter))
    ids = torch.arange(3, 40)[None]
    module = trained_modules[0].eval()
    module.get_base_model().set_attn_implementation("eager")
    with torch.no_grad():
        torch.testing.assert_close(again.module(ids).logits, module(ids).logits, atol=1e-4, rtol=1e-3)
    prompts = demo_prompts("sentiment", "de")
    facts = merge(ModelConfig(name=str(tiny_folder), dtype="float32", device="cpu"), adapter, tmp_path / "m", prompts)
    assert facts["max_diff_vs_adapter"] <= 1e-3 < facts["max_change_vs_base"]


@pytest.mark.parametrize("targets", [["q_proj", "v_proj"], "all-linear"])
def test_only_the_named_layers_get_an_adapter_and_gradients(targets):
    base = make_model()
    every = with_adapter(base, CONFIG.model_copy(update={"targets": targets}))
    module = with_adapter(base, CONFIG.model_copy(update={"targets": targets, "layers": "1"}))
    assert changed_layers(module) == {1: changed_layers(every)[1]}
    module(torch.arange(3, 20)[None]).logits.sum().backward()
    moved = [name for name, parameter in module.named_parameters() if parameter.grad is not None]
    assert moved
    assert all(".layers.1." in name and "lora_" in name for name in moved)


def test_layers_of_another_list_are_not_taken_by_their_numbers(pairs, tmp_path):
    base = make_model(family="bloom")
    config = CONFIG.model_copy(update={"targets": "all-linear", "layers": "outer"})
    assert set(changed_layers(with_adapter(base, config))) == {0, 1}
    with pytest.raises(ConfigError, match=r"train.layers: '2': the model has 2 layers"):
        with_adapter(base, config.model_copy(update={"layers": "2"}))


def test_an_adapter_of_one_layer_is_saved_and_attached_as_any(pairs, tmp_path):
    base = make_model()
    tuned = train(base, pairs, out=tmp_path / "run", config=CONFIG.model_copy(update={"layers": "1"}))
    assert set(changed_layers(tuned.module)) == {1}
    assert tuned.ref.adapter_layers is None
    settings = Run(tmp_path / "run").manifest()["stages"]["train"]["settings"]
    assert settings["layers"] == "1"
    assert "align" not in settings, "what is off leaves the settings of earlier trainings as they were"
