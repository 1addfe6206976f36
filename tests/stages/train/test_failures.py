"""A loss that explodes and a disk that is full are one line, and nothing is lost."""

from __future__ import annotations

import errno
import os

import pytest

from spillover.core.config import BuildConfig, TrainConfig
from spillover.core.errors import ModelError, RunError
from spillover.stages.build import build_pairs
from spillover.stages.build.pairs import write_pairs
from spillover.stages.train import stage
from spillover.stages.train.stage import train
from spillover.stages.train.trainer import CompletionTrainer
from tests.builders import make_model, save_model

CONFIG = TrainConfig(
    epochs=1.5, batch=4, batch_tokens=250, rank=2, learning_rate=1e-2, validation=0.2, checkpoint_steps=1
)


@pytest.fixture(scope="module")
def pairs():
    return build_pairs("sentiment", languages=["es"], config=BuildConfig(pairs=16))


def adapter(folder):
    return (folder / "train" / "adapter" / "adapter_model.safetensors").read_bytes()


@pytest.fixture(scope="module")
def whole(pairs, tmp_path_factory):
    """The adapter of a run that nothing happened to."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    train(make_model(), pairs, out=folder, config=CONFIG)
    return adapter(folder)


def test_a_non_finite_loss_names_its_pairs_and_the_last_checkpoint(pairs, tmp_path, monkeypatch):
    summed, calls = CompletionTrainer.summed_loss, []

    def spoiled(self, model, part):
        loss = summed(self, model, part)
        if self.state.global_step == 2 and model.training:
            calls.append(part.numbers)
            return loss * float("nan")
        return loss

    monkeypatch.setattr(CompletionTrainer, "summed_loss", spoiled)
    with pytest.raises(ModelError, match=r"loss is nan on pairs .*; last good checkpoint: .*checkpoint-\d+") as caught:
        train(make_model(), pairs, out=tmp_path / "run", config=CONFIG)
    assert all(pairs[number].id in caught.value.message for number in calls[0])
    assert caught.value.exit_code == 3


def test_a_full_disk_is_one_line_and_the_run_resumes_from_there(whole, pairs, tmp_path, monkeypatch):
    save = CompletionTrainer._save_optimizer_and_scheduler

    def full(self, folder):
        if folder.endswith("checkpoint-3"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        save(self, folder)

    with monkeypatch.context() as patch:
        patch.setattr(CompletionTrainer, "_save_optimizer_and_scheduler", full)
        with pytest.raises(RunError, match=r"No space left on device.*last good checkpoint: checkpoint-2"):
            train(make_model(), pairs, out=tmp_path / "run", config=CONFIG)
    train(make_model(), pairs, out=tmp_path / "run", config=CONFIG)
    assert adapter(tmp_path / "run") == whole


def test_a_folder_that_cannot_be_written_is_one_line(pairs, tmp_path, monkeypatch):
    def refused(*_):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(stage, "save_adapter", refused)
    with pytest.raises(RunError, match="cannot be written \\(Permission denied\\)"):
        train(make_model(), pairs, out=tmp_path / "run", config=CONFIG)


def test_an_exploded_loss_stops(pairs, tmp_path, monkeypatch):
    summed = CompletionTrainer.summed_loss
    monkeypatch.setattr(CompletionTrainer, "summed_loss", lambda *arguments: summed(*arguments) * 3)
    with pytest.raises(ModelError, match=r"the training loss is \d+\.\d+ on pairs"):
        train(make_model(), pairs, out=tmp_path / "run", config=CONFIG)


def test_a_folder_that_is_read_only_is_one_line_and_exit_code_3(pairs, tmp_path, monkeypatch, capsys):
    from spillover.cli import main
    from spillover.core.runs import Run

    def refused(self, **_):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(self.path / "run.json"))

    monkeypatch.setattr(Run, "update", refused)
    write_pairs(tmp_path / "pairs.jsonl", pairs)
    model = str(save_model(tmp_path / "model"))
    with pytest.raises(SystemExit) as caught:
        main(["train", "--model", model, "--out", str(tmp_path / "run"), "--pairs", str(tmp_path / "pairs.jsonl")])
    assert caught.value.code == 3
    assert "run.json: Permission denied" in capsys.readouterr().err
