"""Damage of every kind: one line that names it, and nothing lost."""

from __future__ import annotations

import errno
import logging
import os
import signal
import subprocess
import sys
import time

import pytest
import torch

from spillover.core.config import BuildConfig, TrainConfig
from spillover.core.errors import DataError, ModelError, RunError
from spillover.stages.build import build_pairs
from spillover.stages.build.pairs import write_pairs
from spillover.stages.train import stage as lora
from spillover.stages.train.checkpoints import last_checkpoint
from spillover.stages.train.stage import train
from spillover.stages.train.tokenize import IGNORE, tokenize_pairs
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


def stopped(pairs, folder, monkeypatch, after):
    """A run that was interrupted after so many steps."""
    step, steps = CompletionTrainer.training_step, []

    def interrupted(self, *arguments, **options):
        steps.append(1)
        if len(steps) > after:
            raise KeyboardInterrupt
        return step(self, *arguments, **options)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(CompletionTrainer, "training_step", interrupted)
        train(make_model(), pairs, out=folder, config=CONFIG)
    return folder / "train" / "checkpoints"


def test_a_loss_that_is_no_number_names_its_pairs_and_the_last_checkpoint(pairs, tmp_path, monkeypatch):
    summed, calls = CompletionTrainer._summed_loss, []

    def spoiled(self, model, part):
        loss = summed(self, model, part)
        if self.state.global_step == 2 and model.training:
            calls.append(part.numbers)
            return loss * float("nan")
        return loss

    monkeypatch.setattr(CompletionTrainer, "_summed_loss", spoiled)
    with pytest.raises(ModelError, match=r"loss is nan on pairs .*; last good checkpoint: .*checkpoint-\d+") as caught:
        train(make_model(), pairs, out=tmp_path / "run", config=CONFIG)
    assert all(pairs[number].id in caught.value.message for number in calls[0])
    assert caught.value.exit_code == 3


@pytest.fixture(scope="module")
def whole(pairs, tmp_path_factory):
    """The adapter of a run that nothing happened to."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    train(make_model(), pairs, out=folder, config=CONFIG)
    return adapter(folder)


def test_a_damaged_checkpoint_is_passed_over_and_the_result_is_the_same(whole, pairs, tmp_path, monkeypatch, caplog):
    checkpoints = stopped(pairs, tmp_path / "run", monkeypatch, after=3)
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
    train(make_model(), pairs, out=tmp_path / "run", config=CONFIG)
    assert adapter(tmp_path / "run") == whole


def test_a_full_disk_is_one_line_and_the_run_goes_on_from_there(whole, pairs, tmp_path, monkeypatch):
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

    monkeypatch.setattr(lora, "save_adapter", refused)
    with pytest.raises(RunError, match="cannot be written \\(Permission denied\\)"):
        train(make_model(), pairs, out=tmp_path / "run", config=CONFIG)


def test_an_exploded_loss_stops(pairs, tmp_path, monkeypatch):
    summed = CompletionTrainer._summed_loss
    monkeypatch.setattr(CompletionTrainer, "_summed_loss", lambda *arguments: summed(*arguments) * 3)
    with pytest.raises(ModelError, match=r"the training loss is \d+\.\d+ on pairs"):
        train(make_model(), pairs, out=tmp_path / "run", config=CONFIG)


def test_a_checkpoint_of_weights_that_are_no_numbers_is_passed_over(pairs, tmp_path, monkeypatch):
    from safetensors.torch import load_file, save_file

    checkpoints = stopped(pairs, tmp_path / "run", monkeypatch, after=2)
    file = checkpoints / "checkpoint-2" / "adapter_model.safetensors"
    save_file({name: tensor * float("nan") for name, tensor in load_file(file).items()}, file)
    assert last_checkpoint(checkpoints).name == "checkpoint-1"


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


def test_long_pairs_are_dropped_or_cut_and_named(tiny, pairs, caplog):
    lengths = sorted(len(row["input_ids"]) for row in tokenize_pairs(tiny, pairs, CONFIG))
    limit = lengths[len(lengths) // 2]
    shorter = CONFIG.model_copy(update={"max_tokens": limit})
    with pytest.raises(DataError, match=rf"\d+ training pairs of more than {limit} tokens"):
        tokenize_pairs(tiny, pairs, shorter)
    with caplog.at_level(logging.WARNING):
        dropped = tokenize_pairs(tiny, pairs, shorter.model_copy(update={"long_pairs": "drop"}))
        cut = tokenize_pairs(tiny, pairs, shorter.model_copy(update={"long_pairs": "cut"}))
    left_out = [pair.id for i, pair in enumerate(pairs) if i not in {row["number"] for row in dropped}]
    assert 0 < len(dropped) < len(pairs)
    assert any(name in caplog.text for name in left_out)
    assert "left out" in caplog.text
    assert len(cut) > len(dropped)
    assert max(len(row["input_ids"]) for row in cut) == limit
    assert all(row["labels"][-1] != IGNORE for row in cut)


KILLED = """
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
    config = CONFIG.model_copy(update={"epochs": 4.0, "checkpoint_steps": 2})
    config = TrainConfig.model_validate_json(config.model_dump_json())
    command = [sys.executable, "-c", KILLED, str(model), str(tmp_path / "pairs.jsonl")]
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
    assert adapter(tmp_path / "run") == adapter(tmp_path / "whole"), f"killed at step {at}"


@pytest.mark.slow
def test_two_processes_have_the_loss_curve_of_one(pairs, tmp_path):
    import json

    model = save_model(tmp_path / "model")
    write_pairs(tmp_path / "pairs.jsonl", pairs)
    config = CONFIG.model_copy(update={"validation": 0.0, "checkpoint_steps": 99})
    script = tmp_path / "script.py"
    script.write_text(KILLED)
    rest = [str(model), str(tmp_path / "pairs.jsonl")]
    curves = []
    for name, launch in (("one", []), ("two", ["-m", "torch.distributed.run", "--nproc-per-node=2", "--standalone"])):
        command = [sys.executable, *launch, str(script), *rest, str(tmp_path / name), config.model_dump_json(), "1"]
        subprocess.run(command, check=True, capture_output=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
        steps = [json.loads(line) for line in (tmp_path / name / "train" / "steps.jsonl").read_text().splitlines()]
        curves.append([row["loss"] for row in steps if "loss" in row])
    assert len(curves[0]) == 6
    assert curves[1] == pytest.approx(curves[0], abs=1e-4)
    assert torch.tensor(curves[0]).std() > 1e-3
