"""Which checkpoint a killed training resumes from."""

from __future__ import annotations

import logging

import pytest
from safetensors.torch import load_file

from spillover.stages.train.checkpoints import last_checkpoint
from spillover.stages.train.stage import train
from spillover.stages.train.trainer import CompletionTrainer
from tests.builders import make_model
from tests.stages.train.builders import CHECKPOINT_EACH_STEP, adapter_bytes


def interrupted_training(sixteen_pairs, folder, monkeypatch, after):
    """A run that was interrupted after so many steps."""
    step, steps = CompletionTrainer.training_step, []

    def interrupted(self, *arguments, **options):
        steps.append(1)
        if len(steps) > after:
            raise KeyboardInterrupt
        return step(self, *arguments, **options)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(CompletionTrainer, "training_step", interrupted)
        train(make_model(), sixteen_pairs, out=folder, config=CHECKPOINT_EACH_STEP)
    return folder / "train" / "checkpoints"


def test_a_damaged_checkpoint_is_skipped_and_the_result_is_the_same(
    uninterrupted_adapter, sixteen_pairs, tmp_path, monkeypatch, caplog
):
    checkpoints = interrupted_training(sixteen_pairs, tmp_path / "run", monkeypatch, after=3)
    assert last_checkpoint(checkpoints).name == "checkpoint-3"
    names = ["trainer_state.json", "adapter_model.safetensors", "optimizer.pt", "scheduler.pt", "rng_state.pth"]
    for name in names:
        file = checkpoints / "checkpoint-3" / name
        content = file.read_bytes()
        file.write_bytes(content[: len(content) // 2])
        with caplog.at_level(logging.INFO):
            assert last_checkpoint(checkpoints).name == "checkpoint-2"
        assert f"checkpoint-3 is damaged ({name}: broken)" in caplog.text
        if name != names[-1]:
            file.write_bytes(content)
    train(make_model(), sixteen_pairs, out=tmp_path / "run", config=CHECKPOINT_EACH_STEP)
    assert adapter_bytes(tmp_path / "run") == uninterrupted_adapter


def test_a_checkpoint_with_non_finite_weights_is_skipped(sixteen_pairs, tmp_path, monkeypatch):
    from safetensors.torch import save_file

    checkpoints = interrupted_training(sixteen_pairs, tmp_path / "run", monkeypatch, after=2)
    file = checkpoints / "checkpoint-2" / "adapter_model.safetensors"
    save_file({name: tensor * float("nan") for name, tensor in load_file(file).items()}, file)
    assert last_checkpoint(checkpoints).name == "checkpoint-1"
