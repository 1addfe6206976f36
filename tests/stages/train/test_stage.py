"""Training leaves the base alone, repeats itself, and resumes after a kill with the same bytes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from spillover.core.config import BuildConfig, TrainConfig
from spillover.core.errors import ModelError
from spillover.models.load import attach_adapter
from spillover.models.local import LocalEngine
from spillover.stages.build import build_pairs
from spillover.stages.build.pairs import write_pairs
from spillover.stages.train.stage import train
from spillover.stages.train.trainer import CompletionTrainer
from tests.builders import make_model, save_model
from tests.stages.train.builders import adapter_bytes

TINY = TrainConfig(epochs=1, batch=4, batch_tokens=200, rank=2, checkpoint_steps=2, learning_rate=1e-2, validation=0.2)


@pytest.fixture(scope="module")
def pairs():
    return build_pairs("sentiment", languages=["es"], config=BuildConfig(pairs=20))


def weights(folder):
    return load_file(folder / "train" / "adapter" / "adapter_model.safetensors")


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
    monkeypatch.setattr(CompletionTrainer, "training_step", lambda *_, **__: pytest.fail("trained again"))
    train(make_model(), pairs, out=tmp_path / "run", config=TINY)


def test_unknown_target_modules_are_named(tiny, pairs, tmp_path):
    config = TINY.model_copy(update={"targets": ["q_porj"]})
    with pytest.raises(ModelError, match="q_porj"):
        train(tiny, pairs, out=tmp_path / "run", config=config)


def test_an_adapter_for_another_base_is_refused(pairs, tmp_path):
    train(make_model(), pairs, out=tmp_path / "run", config=TINY)
    other = make_model(seed=9)
    with pytest.raises(ModelError, match="made for tiny \\(tiny-0\\), not for tiny \\(tiny-9\\)"):
        attach_adapter(other, str(tmp_path / "run" / "train" / "adapter"))
    with pytest.raises(ModelError, match="no such folder"):
        attach_adapter(replace(other), str(tmp_path / "nothing"))


TRAINING_SCRIPT = """
import sys, time, torch
from pathlib import Path
torch.set_num_threads(int(sys.argv[5]))  # sums in another number of parts differ in their last digit
from spillover.stages.build.pairs import read_pairs
from spillover.core.config import TrainConfig
from spillover.models.load import load_model
from spillover.stages.train import trainer
from spillover.stages.train.stage import train
step = trainer.CompletionTrainer.training_step
def slow(self, *arguments, **options):
    print("step", self.state.global_step, flush=True)
    return step(self, *arguments, **options)
trainer.CompletionTrainer.training_step = slow
base = load_model(sys.argv[1], dtype="float32", device="cpu")
train(base, read_pairs(Path(sys.argv[2])), out=sys.argv[3], config=TrainConfig.model_validate_json(sys.argv[4]), seed=1)
"""


def test_killed_at_a_random_step_the_adapter_has_the_same_bytes(pairs, tmp_path):
    model = save_model(tmp_path / "model")
    write_pairs(tmp_path / "pairs.jsonl", pairs)
    config = TINY.model_copy(update={"epochs": 4.0})
    config = TrainConfig.model_validate_json(config.model_dump_json())
    command = [sys.executable, "-c", TRAINING_SCRIPT, str(model), str(tmp_path / "pairs.jsonl")]
    from spillover.models.load import load_model

    train(load_model(str(model), dtype="float32", device="cpu"), pairs, out=tmp_path / "whole", config=config, seed=1)
    at = int(time.time()) % 12 + 1
    process = subprocess.Popen(
        [*command, str(tmp_path / "run"), config.model_dump_json(), str(torch.get_num_threads())],
        stdout=subprocess.PIPE,
        text=True,
    )
    for line in process.stdout:
        if line.strip() == f"step {at}":
            time.sleep((time.time_ns() % 1000) / 1e5)  # anywhere in the step, or in the saving after it
            process.send_signal(signal.SIGKILL)
            break
    process.wait()
    process.stdout.close()
    assert process.returncode == -signal.SIGKILL, f"was not killed at step {at}"
    train(load_model(str(model), dtype="float32", device="cpu"), pairs, out=tmp_path / "run", config=config, seed=1)
    assert adapter_bytes(tmp_path / "run") == adapter_bytes(tmp_path / "whole"), f"killed at step {at}"


@pytest.mark.slow
def test_two_processes_have_the_loss_curve_of_one(pairs, tmp_path):
    import json

    model = save_model(tmp_path / "model")
    write_pairs(tmp_path / "pairs.jsonl", pairs)
    config = TINY.model_copy(update={"epochs": 1.5, "validation": 0.0, "checkpoint_steps": 99})
    script = tmp_path / "script.py"
    script.write_text(TRAINING_SCRIPT)
    rest = [str(model), str(tmp_path / "pairs.jsonl")]
    curves = []
    for name, launch in (("one", []), ("two", ["-m", "torch.distributed.run", "--nproc-per-node=2", "--standalone"])):
        command = [sys.executable, *launch, str(script), *rest, str(tmp_path / name), config.model_dump_json(), "1"]
        subprocess.run(command, check=True, capture_output=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
        steps = [json.loads(line) for line in (tmp_path / name / "train" / "steps.jsonl").read_text().splitlines()]
        curves.append([row["loss"] for row in steps if "loss" in row])
    assert len(curves[0]) == 8
    assert curves[1] == pytest.approx(curves[0], abs=1e-4)
    assert torch.tensor(curves[0]).std() > 1e-3
