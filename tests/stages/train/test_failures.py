"""A loss that explodes and a disk that is full are one line, and nothing is lost."""

from __future__ import annotations

import errno
import os

import pytest

from spillover.core.errors import ModelError, RunError
from spillover.stages.build.pairs import write_pairs
from spillover.stages.train import stage
from spillover.stages.train.stage import train
from spillover.stages.train.trainer import CompletionTrainer
from tests.builders import make_model, save_model
from tests.stages.train.builders import CHECKPOINT_EACH_STEP, adapter_bytes


def test_a_non_finite_loss_names_its_pairs_and_the_last_checkpoint(sixteen_pairs, tmp_path, monkeypatch):
    summed, calls = CompletionTrainer.summed_loss, []

    def spoiled(self, model, part):
        loss = summed(self, model, part)
        if self.state.global_step == 2 and model.training:
            calls.append(part.numbers)
            return loss * float("nan")
        return loss

    monkeypatch.setattr(CompletionTrainer, "summed_loss", spoiled)
    with pytest.raises(ModelError, match=r"loss is nan on pairs .*; last good checkpoint: .*checkpoint-\d+") as caught:
        train(make_model(), sixteen_pairs, out=tmp_path / "run", config=CHECKPOINT_EACH_STEP)
    assert all(sixteen_pairs[number].id in caught.value.message for number in calls[0])
    assert caught.value.exit_code == 3


def test_a_full_disk_is_one_line_and_the_run_resumes_from_there(
    uninterrupted_adapter, sixteen_pairs, tmp_path, monkeypatch
):
    save = CompletionTrainer._save_optimizer_and_scheduler

    def full(self, folder):
        if folder.endswith("checkpoint-3"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        save(self, folder)

    with monkeypatch.context() as patch:
        patch.setattr(CompletionTrainer, "_save_optimizer_and_scheduler", full)
        with pytest.raises(RunError, match=r"No space left on device.*last good checkpoint: checkpoint-2"):
            train(make_model(), sixteen_pairs, out=tmp_path / "run", config=CHECKPOINT_EACH_STEP)
    train(make_model(), sixteen_pairs, out=tmp_path / "run", config=CHECKPOINT_EACH_STEP)
    assert adapter_bytes(tmp_path / "run") == uninterrupted_adapter


def test_a_folder_that_cannot_be_written_is_one_line(sixteen_pairs, tmp_path, monkeypatch):
    def refused(*_):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(stage, "save_adapter", refused)
    with pytest.raises(RunError, match="cannot be written \\(Permission denied\\)"):
        train(make_model(), sixteen_pairs, out=tmp_path / "run", config=CHECKPOINT_EACH_STEP)


def test_an_exploded_loss_stops(sixteen_pairs, tmp_path, monkeypatch):
    summed = CompletionTrainer.summed_loss
    monkeypatch.setattr(CompletionTrainer, "summed_loss", lambda *arguments: summed(*arguments) * 3)
    with pytest.raises(ModelError, match=r"the training loss is \d+\.\d+ on pairs"):
        train(make_model(), sixteen_pairs, out=tmp_path / "run", config=CHECKPOINT_EACH_STEP)


def test_a_folder_that_is_read_only_is_one_line_and_exit_code_3(sixteen_pairs, tmp_path, monkeypatch, capsys):
    from spillover.cli import main
    from spillover.core.runs import Run

    def refused(self, **_):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(self.path / "run.json"))

    monkeypatch.setattr(Run, "update", refused)
    write_pairs(tmp_path / "pairs.jsonl", sixteen_pairs)
    model = str(save_model(tmp_path / "model"))
    with pytest.raises(SystemExit) as caught:
        main(["train", "--model", model, "--out", str(tmp_path / "run"), "--pairs", str(tmp_path / "pairs.jsonl")])
    assert caught.value.code == 3
    assert "run.json: Permission denied" in capsys.readouterr().err
