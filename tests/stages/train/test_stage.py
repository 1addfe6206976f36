"""The loss against a plain reference, the base left alone, and a run that goes on after a kill."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from spillover.core.config import BuildConfig, TrainConfig
from spillover.core.errors import ConfigError, DataError, ModelError
from spillover.models.load import attach_adapter
from spillover.models.local import LocalEngine
from spillover.stages.build import build_pairs
from spillover.stages.train import stage as lora
from spillover.stages.train.stage import train
from spillover.stages.train.tokenize import IGNORE, tokenize_pairs
from spillover.stages.train.trainer import CompletionTrainer
from tests.builders import make_model

TINY = TrainConfig(epochs=1, batch=4, batch_tokens=200, rank=2, checkpoint_steps=2, learning_rate=1e-2, validation=0.2)


@pytest.fixture(scope="module")
def pairs():
    return build_pairs("sentiment", languages=["es"], config=BuildConfig(pairs=20))


def weights(folder):
    return load_file(folder / "train" / "adapter" / "adapter_model.safetensors")


def test_labels_cover_the_completion_and_the_end_alone(tiny, pairs):
    for pair, row in zip(pairs, tokenize_pairs(tiny, pairs, TINY), strict=True):
        supervised = [token for token in row["labels"] if token != IGNORE]
        assert tiny.tokenizer.decode(supervised) == pair.completion + "</s>"
        assert tiny.tokenizer.decode(row["input_ids"]) == pair.prompt + pair.completion + "</s>"


def test_training_lowers_the_loss_and_leaves_the_base_alone(pairs, tmp_path, demo_prompts):
    base = make_model()
    before = {name: tensor.clone() for name, tensor in base.module.state_dict().items()}
    config = TINY.model_copy(update={"epochs": 8.0})
    tuned = train(base, pairs, out=tmp_path / "run", config=config)
    assert base.module.state_dict().keys() == before.keys()
    assert all(torch.equal(tensor, before[name]) for name, tensor in base.module.state_dict().items())
    steps = [json.loads(line) for line in (tmp_path / "run" / "train" / "steps.jsonl").read_text().splitlines()]
    curve = [row["loss"] for row in steps if "loss" in row]
    assert np.mean(curve[-4:]) < np.mean(curve[:4])
    assert any("eval_loss" in row for row in steps)
    assert not (tmp_path / "run" / "train" / "checkpoints").exists()
    prompts = demo_prompts("sentiment", "en")
    engines = [LocalEngine(model) for model in (base, tuned)]
    plain, moved = (next(engine.score(engine.plan(prompts))).logprobs for engine in engines)
    assert np.abs(plain - moved).max() > 1e-3
    assert tuned.ref.fingerprint != base.ref.fingerprint


def test_same_seed_same_bytes(pairs, tmp_path):
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        train(make_model(), pairs, out=tmp_path / name, config=TINY, seed=seed)
    first, again, other = (
        (tmp_path / name / "train" / "adapter" / "adapter_model.safetensors").read_bytes() for name in "abc"
    )
    assert first == again != other


def test_accumulated_batches_learn_what_whole_ones_do(pairs, tmp_path):
    for name, tokens in (("whole", 10_000), ("parts", 100)):
        config = TINY.model_copy(update={"batch_tokens": tokens, "validation": 0.0})
        train(make_model(), pairs[:4], out=tmp_path / name, config=config)
    whole, parts = weights(tmp_path / "whole"), weights(tmp_path / "parts")
    for name, tensor in whole.items():
        torch.testing.assert_close(tensor, parts[name], atol=2e-4, rtol=2e-3)


def test_killed_and_resumed_equals_uninterrupted(pairs, tmp_path, monkeypatch):
    train(make_model(), pairs, out=tmp_path / "whole", config=TINY)
    step, steps = CompletionTrainer.training_step, []

    def killed(self, *arguments, **options):
        steps.append(1)
        if len(steps) == 3:  # the checkpoint of the second step is on disk
            raise KeyboardInterrupt
        return step(self, *arguments, **options)

    monkeypatch.setattr(CompletionTrainer, "training_step", killed)
    with pytest.raises(KeyboardInterrupt):
        train(make_model(), pairs, out=tmp_path / "killed", config=TINY)
    monkeypatch.setattr(CompletionTrainer, "training_step", step)
    torn = tmp_path / "killed" / "train" / "checkpoints" / "checkpoint-99"
    torn.mkdir()  # as a kill in the middle of saving would leave it
    train(make_model(), pairs, out=tmp_path / "killed", config=TINY)
    whole, resumed = weights(tmp_path / "whole"), weights(tmp_path / "killed")
    for name, tensor in whole.items():
        torch.testing.assert_close(tensor, resumed[name], atol=0, rtol=0)


def test_again_trains_nothing(pairs, tmp_path, monkeypatch):
    train(make_model(), pairs, out=tmp_path / "run", config=TINY)
    monkeypatch.setattr(lora, "_train", lambda *_: pytest.fail("trained again"))
    train(make_model(), pairs, out=tmp_path / "run", config=TINY)


def test_a_pair_that_is_too_long_is_named(tiny, pairs):
    with pytest.raises(DataError, match=rf"1 training pair of more than 10 tokens: {pairs[0].id} "):
        tokenize_pairs(tiny, pairs[:1], TINY.model_copy(update={"max_tokens": 10}))


def test_unknown_target_modules_are_named(tiny, pairs, tmp_path):
    config = TINY.model_copy(update={"targets": ["q_porj"]})
    with pytest.raises(ModelError, match="q_porj"):
        train(tiny, pairs, out=tmp_path / "run", config=config)


def test_no_pairs_and_no_chat_template_are_said(tiny, pairs, tmp_path):
    with pytest.raises(DataError, match="no training pairs"):
        train(tiny, [], out=tmp_path / "a", config=TINY)
    with pytest.raises(ConfigError, match="has no chat template"):
        train(tiny, pairs, out=tmp_path / "b", config=TINY.model_copy(update={"chat_template": True}))


def test_pairs_are_wrapped_in_the_models_own_chat_template(pairs):
    model = make_model()
    model.tokenizer.chat_template = (
        "{% for m in messages %}<s>{{ m.role }}: {{ m.content }}</s>{% endfor %}<s>assistant: "
    )
    row = tokenize_pairs(model, pairs[:1], TINY.model_copy(update={"chat_template": True}))[0]
    text = f"<s>user: {pairs[0].prompt}</s><s>assistant: {pairs[0].completion}</s>"
    assert model.tokenizer.decode(row["input_ids"]) == text
    assert model.tokenizer.decode([t for t in row["labels"] if t != IGNORE]) == pairs[0].completion + "</s>"


def test_an_adapter_for_another_base_is_refused(pairs, tmp_path):
    train(make_model(), pairs, out=tmp_path / "run", config=TINY)
    other = make_model(seed=9)
    with pytest.raises(ModelError, match="made for tiny \\(tiny-0\\), not for tiny \\(tiny-9\\)"):
        attach_adapter(other, str(tmp_path / "run" / "train" / "adapter"))
    with pytest.raises(ModelError, match="does not go onto"):
        attach_adapter(replace(other), str(tmp_path / "nothing"))
