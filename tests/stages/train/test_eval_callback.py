"""What a training does with what a watch sees: curves, stopping, the kept checkpoint, and a kill that changes nothing."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field

import pytest
import torch
import transformers
from safetensors.torch import load_file
from transformers.integrations import integration_utils

from spillover.core.config import BuildConfig, TrainConfig
from spillover.core.errors import ConfigError
from spillover.stages.build import build_pairs
from spillover.stages.train.in_training import EvalCallback, EvalSnapshot, GuardResult, LanguageMeasures, best_step
from spillover.stages.train.stage import train
from spillover.stages.train.trainer import CompletionTrainer
from tests.builders import make_model

TINY = TrainConfig(
    epochs=1, batch=4, batch_tokens=2000, rank=2, checkpoint_steps=3, learning_rate=1e-2, validation=0.0, eval_every=2
)


@dataclass
class Planted:
    """An evaluation with planted results, one after the other: (English AUROC, unseen AUROC); the base's first."""

    aurocs: list[tuple[float, float]]
    stop_below: float = -math.inf
    settings: dict = field(default_factory=dict)
    weights: list[torch.Tensor] = field(default_factory=list)
    margin: float = 0.02

    def __call__(self, model, base=None, evaluations=1):
        here = 0 if base is None else len(self.weights)
        english, unseen = self.aurocs[here]
        if base is None:
            rows = (
                LanguageMeasures("en", "reference", 8, english, 0.5, math.nan),
                LanguageMeasures("th", "unseen", 8, unseen, 0.5, 0.1),
            )
            self.weights.append(torch.zeros(0))
            return EvalSnapshot(rows)
        assert not model.module.training
        self.weights.append(next(p.detach().clone() for n, p in model.module.named_parameters() if "lora_B" in n))
        rows = (
            LanguageMeasures("en", "reference", 8, english, 0.5, math.nan),
            LanguageMeasures("th", "unseen", 8, unseen, 0.5, 0.1),
        )
        change = english - self.aurocs[0][0]
        stop = "English fell" if english < self.stop_below else None
        return EvalSnapshot(
            rows,
            GuardResult("en", self.margin, self.aurocs[0][0], english, change, change, 0.5, 0.05 / evaluations),
            stop,
        )


FLAT = [(0.8, 0.5)] * 6


@pytest.fixture(scope="module")
def pairs():
    return build_pairs("sentiment", languages=["es", "de"], config=BuildConfig(pairs=20))


def steps_of(folder):
    return [json.loads(line) for line in (folder / "train" / "steps.jsonl").read_text().splitlines()]


def adapter_of(folder):
    return load_file(folder / "train" / "adapter" / "adapter_model.safetensors")


def facts_of(folder):
    return json.loads((folder / "run.json").read_text())["stages"]["train"]["facts"]


def test_snapshots_are_in_the_loss_log_and_evaluating_changes_nothing(pairs, tmp_path):
    plain = TINY.model_copy(update={"eval_every": None})
    train(make_model(), pairs, out=tmp_path / "plain", config=plain)
    evaluation = Planted(FLAT)
    train(make_model(), pairs, out=tmp_path / "evaluated", config=TINY, evaluation=evaluation)
    looks = [row for row in steps_of(tmp_path / "evaluated") if "watch" in row]
    assert [row["step"] for row in looks] == [0, 2, 4, 6, 8, 10]
    assert looks[1]["watch"][1] == {
        "language": "th", "group": "unseen", "n": 8, "auroc": 0.5, "calibrated_accuracy": 0.5, "mexa": 0.1
    }  # fmt: skip
    assert looks[1]["watch"][0]["mexa"] is None
    assert looks[1]["guard"]["size"] == pytest.approx(0.05 / 5)
    assert [row for row in steps_of(tmp_path / "evaluated") if "loss" in row] == [
        row for row in steps_of(tmp_path / "plain") if "loss" in row
    ]
    # Nothing to choose by: the last one is kept, as without evaluation.
    for name, tensor in adapter_of(tmp_path / "plain").items():
        torch.testing.assert_close(tensor, adapter_of(tmp_path / "evaluated")[name], atol=0, rtol=0)


def test_a_stop_ends_the_training_and_keeps_the_best_that_held(pairs, tmp_path, caplog):
    evaluation = Planted([(0.8, 0.5), (0.79, 0.6), (0.70, 0.9), (0.8, 0.9)], stop_below=0.75)
    config = TINY.model_copy(update={"best": "auroc.unseen"})
    train(make_model(), pairs, out=tmp_path / "run", config=config, evaluation=evaluation)
    facts = facts_of(tmp_path / "run")
    assert facts["steps"] == 4
    assert facts["stopped"]["step"] == 4
    assert facts["stopped"]["change"] == pytest.approx(-0.1)
    assert facts["best"] | {"guard": None} == {
        "step": 2, "quantity": "auroc.unseen", "value": 0.6, "base": 0.5, "guard": None
    }  # fmt: skip
    assert "step 4: English fell" in caplog.text
    kept = next(tensor for name, tensor in adapter_of(tmp_path / "run").items() if "lora_B" in name)
    torch.testing.assert_close(kept, evaluation.weights[1], atol=0, rtol=0)
    assert not torch.equal(kept, evaluation.weights[2])


@pytest.mark.parametrize(
    ("best", "step"), [("auroc.unseen", 6), ("auroc.reference", 4), ("auroc.all", 4), ("mexa.unseen", 2)]
)
def test_the_kept_checkpoint_is_the_best_by_name(pairs, tmp_path, best, step):
    seen = [(0.8, 0.5), (0.79, 0.5), (0.99, 0.7), (0.8, 0.75), (0.8, 0.6), (0.8, 0.1)]
    evaluation = Planted(seen)
    train(
        make_model(), pairs, out=tmp_path / "run", config=TINY.model_copy(update={"best": best}), evaluation=evaluation
    )
    assert facts_of(tmp_path / "run")["best"]["step"] == step
    kept = next(tensor for name, tensor in adapter_of(tmp_path / "run").items() if "lora_B" in name)
    torch.testing.assert_close(kept, evaluation.weights[step // 2], atol=0, rtol=0)


def test_validation_loss_chooses_among_the_snapshots(pairs, tmp_path):
    config = TINY.model_copy(update={"validation": 0.2})
    train(make_model(), pairs, out=tmp_path / "run", config=config, evaluation=Planted(FLAT))
    losses = {row["step"]: row["eval_loss"] for row in steps_of(tmp_path / "run") if "eval_loss" in row}
    looks = {step: losses[step] for step in (2, 4, 6, 8)}
    best = facts_of(tmp_path / "run")["best"]
    assert (best["step"], best["value"]) == min(looks.items(), key=lambda item: item[1])


def test_what_fell_beyond_the_margin_is_kept_only_when_nothing_held():
    def row(step, change, value):
        rows = [{"group": "unseen", "auroc": value}]
        return {"step": step, "watch": rows, "guard": {"change": change, "margin": 0.02}}

    config = TrainConfig(eval_every=1, best="auroc.unseen")
    assert best_step([row(1, -0.01, 0.5), row(2, -0.03, 0.9)], config) == 1
    assert best_step([row(1, -0.06, 0.9), row(2, -0.03, 0.5)], config) == 2
    assert best_step([row(0, 0.0, 1.0)], config) is None


@pytest.mark.parametrize("at", ["step", "save", "keep"])
def test_killed_and_resumed_has_each_line_once_and_the_same_adapter(pairs, tmp_path, monkeypatch, at):
    seen = [(0.8, 0.5), (0.8, 0.6), (0.8, 0.7), (0.8, 0.9), (0.8, 0.8), (0.8, 0.2)]
    config = TINY.model_copy(update={"best": "auroc.unseen"})
    train(make_model(), pairs, out=tmp_path / "whole", config=config, evaluation=Planted(seen))
    calls = []
    target, name, last = {
        "step": (CompletionTrainer, "training_step", 8),
        "save": (CompletionTrainer, "_save_checkpoint", 4),
        "keep": (EvalCallback, "_keep", 3),
    }[at]
    real = getattr(target, name)

    def killed(self, *arguments, **options):
        calls.append(1)
        if len(calls) == last:
            raise KeyboardInterrupt
        return real(self, *arguments, **options)

    evaluation = Planted(seen)
    with monkeypatch.context() as patch:
        patch.setattr(target, name, killed)
        with pytest.raises(KeyboardInterrupt):
            train(make_model(), pairs, out=tmp_path / "killed", config=config, evaluation=evaluation)
    held = sorted((tmp_path / "killed" / "train" / "checkpoints").glob("checkpoint-*"))
    newest = max(int(path.name.rpartition("-")[2]) for path in held)
    # The same looks again from there on.
    again = Planted(seen[:1] + seen[1 + newest // 2 :])
    train(make_model(), pairs, out=tmp_path / "killed", config=config, evaluation=again)
    assert steps_without_clock(tmp_path / "killed") == steps_without_clock(tmp_path / "whole")
    for name, tensor in adapter_of(tmp_path / "whole").items():
        torch.testing.assert_close(tensor, adapter_of(tmp_path / "killed")[name], atol=0, rtol=0)


def steps_without_clock(folder):
    return [row for row in steps_of(folder) if "train_runtime" not in row]


def test_a_training_that_was_stopped_and_then_killed_is_not_taken_up_again(pairs, tmp_path, monkeypatch):
    from spillover.stages.train import stage as lora

    evaluation = Planted([(0.8, 0.5), (0.79, 0.6), (0.70, 0.9)], stop_below=0.75)
    with monkeypatch.context() as patch:
        patch.setattr(lora, "take_best", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            train(make_model(), pairs, out=tmp_path / "run", config=TINY, evaluation=evaluation)
    with monkeypatch.context() as patch:
        patch.setattr(CompletionTrainer, "training_step", lambda *_, **__: pytest.fail("trained on"))
        train(make_model(), pairs, out=tmp_path / "run", config=TINY, evaluation=evaluation)
    facts = facts_of(tmp_path / "run")
    assert (facts["steps"], facts["stopped"]["step"], facts["best"]["step"]) == (4, 4, 2)


def test_an_evaluation_that_is_not_asked_for_and_one_that_is_not_given_are_mistakes(pairs, tmp_path):
    with pytest.raises(ConfigError, match=r"train\.eval_every: 2, and no evaluation is given"):
        train(make_model(), pairs, out=tmp_path / "run", config=TINY)
    plain = TINY.model_copy(update={"eval_every": None})
    with pytest.raises(ConfigError, match=r"train\.eval_every is null"):
        train(make_model(), pairs, out=tmp_path / "run", config=plain, evaluation=Planted(FLAT))
    with pytest.raises(ConfigError, match=r"train\.best: auroc\.all needs in-training evaluation"):
        train(make_model(), pairs, out=tmp_path / "run", config=plain.model_copy(update={"best": "auroc.all"}))
    assert not (tmp_path / "run").exists()


def test_trackers_get_the_numbers_of_each_snapshot(pairs, tmp_path, monkeypatch):
    logged = []

    class Tracker(transformers.TrainerCallback):
        def on_log(self, args, state, control, logs=None, **_):
            logged.append((state.global_step, dict(logs)))

    monkeypatch.setitem(integration_utils.INTEGRATION_TO_CALLBACK, "kept", Tracker)
    config = TINY.model_copy(update={"report_to": ["kept"]})
    train(make_model(), pairs, config=config, out=tmp_path, evaluation=Planted([(0.8, 0.5), (0.75, 0.6), *FLAT]))
    looks = {step: numbers for step, numbers in logged if "eval_en_auroc" in numbers}
    assert list(looks)[:2] == [0, 2]
    assert looks[0]["eval_en_auroc"] == 0.8
    wanted = {"eval_en_auroc": 0.75, "eval_th_auroc": 0.6, "eval_th_mexa": 0.1}
    assert {name: looks[2].get(name) for name in [*wanted, "eval_en_mexa"]} == wanted | {"eval_en_mexa": None}
    assert any("loss" in numbers for _, numbers in logged)
