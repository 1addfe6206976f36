"""Which items are evaluated, what a snapshot measures, when the guard stops; and what a training does with it."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file
from transformers.integrations import integration_utils

import spillover
from spillover.core.config import BuildConfig, CompareConfig, EvaluateConfig, TrainConfig
from spillover.core.errors import ConfigError
from spillover.core.types import LabelScores
from spillover.stages.build import build_pairs
from spillover.stages.evaluate.stage import evaluate
from spillover.stages.train.in_training import (
    EvalCallback,
    EvalSnapshot,
    GuardResult,
    LanguageMeasures,
    best_step,
    in_training_evaluation,
    stop_reason,
)
from spillover.stages.train.stage import train
from spillover.stages.train.trainer import CompletionTrainer
from spillover.stats.intervals import skewness_adjusted
from spillover.stats.significance import noninferiority_test
from spillover.stats.summary import summarise_language
from spillover.tasks.benchmark import open_benchmark
from spillover.tasks.examples import load_parallel
from spillover.tasks.wording import load_task
from tests.builders import make_model, small_data
from tests.models.chat_templates import chat_model

CODES = ("en", "de", "es", "th", "sw")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return str(small_data(tmp_path_factory.mktemp("data"), CODES, items=40))


def evaluation_of(data, limit=8, **changes):
    config = TrainConfig(**{"eval_every": 1, "eval_items": 6, "eval_reference_items": 20} | changes)
    return in_training_evaluation(open_benchmark("sentiment", data=data, limit=limit), seen=["de"], config=config)


def test_items_are_those_that_the_evaluation_leaves_and_the_same_in_all_languages(data):
    evaluation = evaluation_of(data)
    ids = {code: [prompt.example_id for prompt in prompts] for code, prompts in evaluation.prompts.items()}
    assert set(ids) == {"en", "de", "th", "es", "sw"}
    assert len(ids["en"]) == 20
    assert len(ids["de"]) == 6
    assert ids["de"] == ids["th"] == ids["es"]
    assert set(ids["de"]) <= set(ids["en"])
    final = load_parallel(data, load_task("sentiment"), "test", CODES, limit=8, seed=0)
    assert not set(ids["en"]) & {row.id for row in final["en"]}
    assert evaluation.settings["items_also_evaluated"] == 0
    gold = [prompt.gold for prompt in evaluation.prompts["en"]]
    assert gold.count("positive") == gold.count("negative")


def test_too_few_items_are_shared_with_the_evaluation_and_it_says_so(data, caplog):
    caplog.set_level("INFO", logger="spillover")
    evaluation = evaluation_of(data, limit=None)
    assert evaluation.settings["items_also_evaluated"] == 20
    assert "20 of 20 items are items of the final evaluation too" in caplog.text


def test_unseen_languages_are_few_and_in_other_scripts_first(tmp_path):
    data = str(small_data(tmp_path / "data", ("en", "de", "es", "fr", "it", "ru", "th")))
    chosen = list(evaluation_of(data, eval_items=2, eval_reference_items=2).prompts)
    assert chosen[:2] == ["en", "de"]
    assert set(chosen[2:4]) == {"ru", "th"}
    assert len(chosen) == 5
    named = evaluation_of(data, eval_languages="en,fr", eval_items=2, eval_reference_items=2)
    assert list(named.prompts) == ["en", "fr"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"eval_languages": "de"}, "train.guard: reference: .* has no en items to evaluate"),
        ({"eval_languages": "en,xx"}, "'xx'"),
        (
            {"eval_languages": "en,de", "best": "auroc.unseen"},
            "train.best: auroc.unseen: no such language is evaluated",
        ),
    ],
)
def test_what_is_not_there_is_named(data, changes, message):
    with pytest.raises(ConfigError, match=message):
        evaluation_of(data, **changes)


def test_a_snapshot_measures_what_an_evaluation_would(data, tiny):
    evaluation = evaluation_of(data, limit=None, eval_items=40, eval_reference_items=40)
    snapshot = evaluation(tiny)
    whole = evaluate(tiny, open_benchmark("sentiment", data=data, languages=list(evaluation.prompts)))
    for row in snapshot.rows:
        summary = summarise_language(whole.scores[row.language])
        assert row.auroc == pytest.approx(summary.auroc, abs=1e-6)
        assert row.calibrated_accuracy == pytest.approx(summary.calibrated_accuracy, abs=1e-6)
    by_language = {row.language: row for row in snapshot.rows}
    assert by_language["en"].group == "reference"
    assert by_language["de"].group == "seen"
    assert by_language["th"].group == "unseen"
    assert math.isnan(by_language["en"].mexa)
    assert 0 <= by_language["de"].mexa <= 1
    assert snapshot.guard is None


def test_mexa_is_one_for_the_reference_language_under_another_name(tmp_path, tiny):
    data = str(small_data(tmp_path / "data", ("en", "de")))
    folder = tmp_path / "data" / "sentiment" / "test"
    (folder / "de.jsonl").write_bytes((folder / "en.jsonl").read_bytes())
    evaluation = evaluation_of(data, limit=None, eval_items=6, eval_reference_items=6)
    evaluation = replace(evaluation, prompts=dict.fromkeys(("en", "de"), evaluation.prompts["en"]))
    assert evaluation(tiny).rows[1].mexa == 1


def test_the_base_itself_has_not_changed(data, tiny):
    evaluation = evaluation_of(data)
    first = evaluation(tiny)
    snapshot = evaluation(tiny, first, 4)
    assert snapshot.stop is None
    assert snapshot.guard.change == 0
    assert snapshot.guard.p == 1
    assert snapshot.guard.size == pytest.approx(0.05 / 4)


def scores(margins, gold):
    """Scores of a language whose first label leads by `margins`."""
    logprobs = np.stack([margins / 2, -margins / 2], axis=1).astype(np.float32) - 5
    n = len(gold)
    return LabelScores(
        "en", ("positive", "negative"), tuple(map(str, range(n))), gold, logprobs,
        np.ones(n, dtype=np.int32), np.ones((n, 2), dtype=np.int32),
    )  # fmt: skip


def planted(rng, n, before, after):
    """(gold, margins before, margins after): normal margins whose AUROCs are about these, correlated 0.7."""
    gold = np.arange(n) % 2
    noise = rng.multivariate_normal([0, 0], [[1, 0.7], [0.7, 1]], size=n).T
    return gold, lead(gold, before) + noise[0], lead(gold, after) + noise[1]


def lead(gold, area):
    """By how much the first label leads where it is right, and trails where it is not, for this AUROC."""
    from scipy.stats import norm

    return np.where(gold == 0, 0.5, -0.5) * math.sqrt(2) * norm.ppf(area)


@pytest.mark.parametrize(("after", "stops"), [(0.86, False), (0.84, False), (0.74, True)])
def test_the_guard_stops_a_fall_and_not_noise(data, after, stops):
    evaluation = evaluation_of(data)
    gold, left, right = planted(np.random.default_rng(0), 400, 0.86, after)
    base = EvalSnapshot((), scores={"en": scores(left, gold)})
    guard = evaluation.guard_result(base, {"en": scores(right, gold)}, 10)
    assert (guard.stops) == stops
    assert guard.high > guard.change
    if stops:
        text = stop_reason(guard)
        assert text.startswith("English fell below its margin: AUROC 0.8")
        assert "where 0.02 is allowed" in text


def test_the_guards_test_is_compares_interval_at_the_margin():
    contributions = np.random.default_rng(1).exponential(0.3, size=300) - 0.35
    change, high, p = noninferiority_test(contributions, 0.02, 0.05)
    reported = skewness_adjusted(contributions, 0.9)
    assert (change, high) == (reported.delta, reported.high)
    at_the_bound = noninferiority_test(contributions, -high, 0.05)[2]
    assert at_the_bound == pytest.approx(0.05, abs=1e-6)
    assert (p < 0.05) == (high < -0.02)
    assert all(math.isnan(value) for value in noninferiority_test(contributions[:1], 0.02, 0.05)[1:])
    assert noninferiority_test(np.zeros(9), 0.02, 0.05)[2] == 1
    assert noninferiority_test(np.full(9, -0.5), 0.02, 0.05)[2] == 0


@pytest.mark.slow
@pytest.mark.parametrize("after", [0.86, 0.84])
@pytest.mark.parametrize("n", [24, 100, 400])
def test_a_training_that_does_no_more_harm_than_allowed_is_stopped_in_at_most_one_of_twenty(data, n, after):
    """Ten snapshots, each like the one before. An AUROC of .84 is exactly at the margin: the worst case."""
    evaluation, rng = evaluation_of(data), np.random.default_rng(7)
    stopped, trainings, snapshots = 0, 400, 10
    for _ in range(trainings):
        gold, left, now = planted(rng, n, 0.86, after)
        base, centre = EvalSnapshot((), scores={"en": scores(left, gold)}), lead(gold, after)
        for _ in range(snapshots):
            guard = evaluation.guard_result(base, {"en": scores(now, gold)}, snapshots)
            if guard.stops:
                stopped += 1
                break
            now = centre + 0.9 * (now - centre) + math.sqrt(1 - 0.9**2) * rng.normal(size=n)
    print(f"guard, {n} items, AUROC .86 → {after}: {100 * stopped / trainings:.1f} % of trainings stopped")
    assert stopped / trainings <= 0.05 + 2 * math.sqrt(0.05 * 0.95 / trainings)


@pytest.mark.slow
def test_a_fall_of_a_tenth_is_detected(data):
    """One snapshot of ten at 400 items, before the others help."""
    evaluation, rng = evaluation_of(data), np.random.default_rng(8)
    detected = 0
    for _ in range(200):
        gold, left, right = planted(rng, 400, 0.86, 0.76)
        guard = evaluation.guard_result(
            EvalSnapshot((), scores={"en": scores(left, gold)}), {"en": scores(right, gold)}, 10
        )
        detected += guard.stops
    print(f"guard, 400 items, AUROC .86 → .76: detected in {detected / 2:.1f} % of single snapshots")
    assert detected / 200 > 0.8


def test_python_trains_and_evaluates_by_its_public_names(data, tmp_path):
    pairs = spillover.build_pairs(spillover.open_benchmark("sentiment", data=data), languages=["de"])
    config = TrainConfig(
        eval_every=2, eval_items=6, eval_reference_items=20, rank=2, epochs=1, batch=10, learning_rate=1e-2
    )
    evaluation = spillover.in_training_evaluation(
        spillover.open_benchmark("sentiment", data=data), seen=["de"], config=config, compare=CompareConfig(margin=0.5)
    )
    spillover.train(make_model(), pairs, out=tmp_path / "run", config=config, evaluation=evaluation)
    lines = (tmp_path / "run" / "train" / "steps.jsonl").read_text().splitlines()
    assert sum('"watch"' in line for line in lines) == 3


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
    evaluate: EvaluateConfig = field(default_factory=EvaluateConfig)

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
    snapshots = [row for row in steps_of(tmp_path / "evaluated") if "watch" in row]
    assert [row["step"] for row in snapshots] == [0, 2, 4, 6, 8, 10]
    assert snapshots[1]["watch"][1] == {
        "language": "th", "group": "unseen", "n": 8, "auroc": 0.5, "calibrated_accuracy": 0.5, "mexa": 0.1
    }  # fmt: skip
    assert snapshots[1]["watch"][0]["mexa"] is None
    assert snapshots[1]["guard"]["size"] == pytest.approx(0.05 / 5)
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
    snapshots = {step: losses[step] for step in (2, 4, 6, 8)}
    best = facts_of(tmp_path / "run")["best"]
    assert (best["step"], best["value"]) == min(snapshots.items(), key=lambda item: item[1])


def test_what_fell_beyond_the_margin_is_kept_only_when_nothing_held():
    def row(step, change, value):
        rows = [{"group": "unseen", "auroc": value}]
        return {"step": step, "watch": rows, "guard": {"change": change, "margin": 0.02}}

    config = TrainConfig(eval_every=1, best="auroc.unseen")
    assert best_step([row(1, -0.01, 0.5), row(2, -0.03, 0.9)], config) == 1
    assert best_step([row(1, -0.06, 0.9), row(2, -0.03, 0.5)], config) == 2
    assert best_step([row(0, 0.0, 1.0)], config) is None


RISING_AND_FALLING = [(0.8, 0.5), (0.8, 0.6), (0.8, 0.7), (0.8, 0.9), (0.8, 0.8), (0.8, 0.2)]
BY_UNSEEN = TINY.model_copy(update={"best": "auroc.unseen"})


@pytest.fixture(scope="module")
def whole(pairs, tmp_path_factory):
    """The run of a training that nothing interrupts."""
    folder = tmp_path_factory.mktemp("whole")
    train(make_model(), pairs, out=folder, config=BY_UNSEEN, evaluation=Planted(RISING_AND_FALLING))
    return folder


@pytest.mark.parametrize("at", ["step", "save", "keep"])
def test_killed_and_resumed_has_each_line_once_and_the_same_adapter(pairs, whole, tmp_path, monkeypatch, at):
    seen, config, calls = RISING_AND_FALLING, BY_UNSEEN, []
    target, name, last = {
        "step": (CompletionTrainer, "training_step", 8),
        "save": (CompletionTrainer, "_save_checkpoint", 4),
        "keep": (EvalCallback, "keep_adapter", 3),
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
    checkpoints = sorted((tmp_path / "killed" / "train" / "checkpoints").glob("checkpoint-*"))
    newest = max(int(path.name.rpartition("-")[2]) for path in checkpoints)
    # The same snapshots again from there on.
    again = Planted(seen[:1] + seen[1 + newest // 2 :])
    train(make_model(), pairs, out=tmp_path / "killed", config=config, evaluation=again)
    assert steps_without_clock(tmp_path / "killed") == steps_without_clock(whole)
    for name, tensor in adapter_of(whole).items():
        torch.testing.assert_close(tensor, adapter_of(tmp_path / "killed")[name], atol=0, rtol=0)


def steps_without_clock(folder):
    return [row for row in steps_of(folder) if "train_runtime" not in row]


def test_a_training_that_was_stopped_and_then_killed_is_not_resumed(pairs, tmp_path, monkeypatch):
    from spillover.stages.train import stage

    evaluation = Planted([(0.8, 0.5), (0.79, 0.6), (0.70, 0.9)], stop_below=0.75)
    with monkeypatch.context() as patch:
        patch.setattr(stage, "take_best", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
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
    snapshots = {step: numbers for step, numbers in logged if "eval_en_auroc" in numbers}
    assert list(snapshots)[:2] == [0, 2]
    assert snapshots[0]["eval_en_auroc"] == 0.8
    wanted = {"eval_en_auroc": 0.75, "eval_th_auroc": 0.6, "eval_th_mexa": 0.1}
    assert {name: snapshots[2].get(name) for name in [*wanted, "eval_en_mexa"]} == wanted | {"eval_en_mexa": None}
    assert any("loss" in numbers for _, numbers in logged)


def test_it_asks_in_the_chat_form_of_the_evaluation_and_the_training_records_it(data, pairs, tmp_path):
    model, asked = chat_model("llama3"), EvaluateConfig(chat="single", system_prompt="Be brief.")
    config = TrainConfig(
        epochs=1,
        batch=8,
        rank=2,
        eval_every=1,
        eval_items=2,
        eval_reference_items=4,
        guard=None,
        eval_languages="en,de",
    )
    benchmark = open_benchmark("sentiment", data=data, limit=4)
    evaluation = in_training_evaluation(benchmark, seen=["es"], config=config, evaluate=asked)
    plain = replace(evaluation, evaluate=EvaluateConfig(chat="off"))
    scores, others = evaluation(model).scores["en"], plain(model).scores["en"]
    assert (scores.tokens > others.tokens).all()
    train(model, pairs[:8], out=tmp_path / "run", config=config, evaluation=evaluation)
    settings = json.loads((tmp_path / "run" / "run.json").read_text())["stages"]["train"]["settings"]
    assert settings["watch"]["chat"] == "single"
    assert (settings["chat_template"], settings["system_prompt"]) == (True, "Be brief.")


def test_a_training_in_plain_text_is_known_by_what_it_was_before(pairs, tmp_path):
    train(make_model(), pairs[:4], out=tmp_path / "run", config=TrainConfig(epochs=1, batch=4, rank=2))
    settings = json.loads((tmp_path / "run" / "run.json").read_text())["stages"]["train"]["settings"]
    assert settings["chat_template"] is False
    assert not {"chat", "system_prompt"} & set(settings)
