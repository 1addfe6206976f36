"""Every method: trains, leaves the base alone, is saved for the base as it was, and passes the merge gate."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from spillover.core.config import BuildConfig, ModelConfig, TrainConfig
from spillover.models.load import attach_adapter, load_model
from spillover.models.local import LocalEngine
from spillover.stages.build import build_pairs
from spillover.stages.train import stage
from spillover.stages.train.adapters import METHOD_OPTIONS
from spillover.stages.train.merging import merge
from spillover.stages.train.stage import train
from spillover.stages.train.trainer import CompletionTrainer

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
