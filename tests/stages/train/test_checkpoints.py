"""Which checkpoint a killed training resumes from."""

from __future__ import annotations

import logging
import os
import shutil
from pathlib import Path

import pytest
from safetensors.torch import load_file

from spillover.stages.train.checkpoints import checkpoints_in, last_checkpoint, remove_newer
from spillover.stages.train.stage import train
from spillover.stages.train.trainer import CompletionTrainer
from tests.builders import make_model
from tests.stages.train.builders import CHECKPOINT_EACH_STEP, adapter_bytes


def interrupted_training(sixteen_pairs, folder, monkeypatch, after, config=CHECKPOINT_EACH_STEP):
    """A run that was interrupted after so many steps."""
    step, steps = CompletionTrainer.training_step, []

    def interrupted(self, *arguments, **options):
        steps.append(1)
        if len(steps) > after:
            raise KeyboardInterrupt
        return step(self, *arguments, **options)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(CompletionTrainer, "training_step", interrupted)
        train(make_model(), sixteen_pairs, out=folder, config=config)
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


def test_the_last_two_by_step_are_kept_whatever_the_clock_says(sixteen_pairs, tmp_path, monkeypatch):
    save = CompletionTrainer._save_checkpoint

    def in_another_year(self, *arguments, **options):
        save(self, *arguments, **options)
        for path in checkpoints_in(tmp_path / "run" / "train" / "checkpoints"):
            os.utime(path, (2 * 10**9 - self.state.global_step,) * 2)

    monkeypatch.setattr(CompletionTrainer, "_save_checkpoint", in_another_year)
    # Without validation no checkpoint is kept as the best.
    config = CHECKPOINT_EACH_STEP.model_copy(update={"validation": 0.0})
    checkpoints = interrupted_training(sixteen_pairs, tmp_path / "run", monkeypatch, after=4, config=config)
    assert [path.name for path in checkpoints_in(checkpoints)] == ["checkpoint-3", "checkpoint-4"]


def test_a_checkpoint_is_not_written_into_a_damaged_one(sixteen_pairs, tmp_path, monkeypatch):
    checkpoints = interrupted_training(sixteen_pairs, tmp_path / "run", monkeypatch, after=3)
    (checkpoints / "checkpoint-3" / "trainer_state.json").unlink()
    remove_newer(checkpoints, last_checkpoint(checkpoints))
    assert checkpoints_in(checkpoints)[-1].name == "checkpoint-2"
    remove_newer(checkpoints, None)
    assert checkpoints_in(checkpoints) == []


def test_killed_while_the_checkpoints_are_removed_it_ends_the_same(
    uninterrupted_adapter, sixteen_pairs, tmp_path, monkeypatch
):
    """Else it would resume from what is left of a checkpoint, without its optimizer."""
    remove = shutil.rmtree

    def killed(path, *arguments, **options):
        damaged = list(Path(path).glob("checkpoint-*/optimizer.pt"))
        if not damaged:
            return remove(path, *arguments, **options)
        for file in [*damaged, checkpoints_in(Path(path))[-1] / "trainer_state.json"]:
            file.unlink()
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("shutil.rmtree", killed)
        train(make_model(), sixteen_pairs, out=tmp_path / "run", config=CHECKPOINT_EACH_STEP)
    train(make_model(), sixteen_pairs, out=tmp_path / "run", config=CHECKPOINT_EACH_STEP)
    assert adapter_bytes(tmp_path / "run") == uninterrupted_adapter
    assert not list(tmp_path.rglob("*.partial"))
