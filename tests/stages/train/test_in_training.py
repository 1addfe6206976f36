"""Which items are evaluated, what a snapshot measures, when the guard stops; and what a training does with it."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

import spillover
from spillover.core.config import CompareConfig, TrainConfig
from spillover.core.errors import ConfigError
from spillover.core.types import LabelScores
from spillover.stages.evaluate.stage import evaluate
from spillover.stages.train.in_training import EvalSnapshot, in_training_evaluation, stop_reason
from spillover.stats.intervals import noninferiority_test, skewed
from spillover.stats.summary import summarise_language
from spillover.tasks.benchmark import open_benchmark
from spillover.tasks.examples import load_parallel
from spillover.tasks.wording import load_task
from tests.builders import make_model, small_data

CODES = ("en", "de", "es", "th", "sw")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return str(small_data(tmp_path_factory.mktemp("watch"), CODES, items=40))


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
    reported = skewed(contributions, 0.9)
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
    """Ten looks, each like the one before. An AUROC of .84 is exactly at the margin: the worst case."""
    evaluation, rng = evaluation_of(data), np.random.default_rng(7)
    stopped, trainings, looks = 0, 400, 10
    for _ in range(trainings):
        gold, left, now = planted(rng, n, 0.86, after)
        base, centre = EvalSnapshot((), scores={"en": scores(left, gold)}), lead(gold, after)
        for _ in range(looks):
            guard = evaluation.guard_result(base, {"en": scores(now, gold)}, looks)
            if guard.stops:
                stopped += 1
                break
            now = centre + 0.9 * (now - centre) + math.sqrt(1 - 0.9**2) * rng.normal(size=n)
    print(f"guard, {n} items, AUROC .86 → {after}: {100 * stopped / trainings:.1f} % of trainings stopped")
    assert stopped / trainings <= 0.05 + 2 * math.sqrt(0.05 * 0.95 / trainings)


@pytest.mark.slow
def test_a_fall_of_a_tenth_is_seen(data):
    """One look of ten at 400 items, before the others help."""
    evaluation, rng = evaluation_of(data), np.random.default_rng(8)
    seen = 0
    for _ in range(200):
        gold, left, right = planted(rng, 400, 0.86, 0.76)
        guard = evaluation.guard_result(
            EvalSnapshot((), scores={"en": scores(left, gold)}), {"en": scores(right, gold)}, 10
        )
        seen += guard.stops
    print(f"guard, 400 items, AUROC .86 → .76: seen in {seen / 2:.1f} % of single looks")
    assert seen / 200 > 0.8


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
