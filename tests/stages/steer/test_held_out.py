from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from spillover.core.config import CompareConfig, EvaluateConfig
from spillover.core.errors import ConfigError, DataError
from spillover.core.types import no_progress
from spillover.models.intervention import new_intervention
from spillover.models.load import attach_intervention
from spillover.stages.evaluate.stage import evaluate
from spillover.stages.steer.held_out import choose, held_out_ids, metrics_of
from spillover.stats.summary import summarise
from spillover.tasks.benchmark import open_benchmark
from tests.builders import small_data
from tests.models.builders import describe, intervene


@pytest.fixture(scope="module")
def benchmark(tmp_path_factory):
    data = small_data(tmp_path_factory.mktemp("held-out"), ("en", "de"), items=80)
    return open_benchmark("sentiment", data=str(data))


def test_the_split_is_by_id_alone(benchmark):
    ids = held_out_ids(benchmark, 0.4)
    assert 20 <= len(ids) <= 60
    assert held_out_ids(benchmark.restricted("de"), 0.4) == ids
    assert set(held_out_ids(benchmark, 0.3)) < set(ids)


@pytest.mark.parametrize(("share", "what"), [(0.05, "held out"), (0.95, "left to score")])
def test_fewer_than_20_items_are_refused(share, what, benchmark):
    with pytest.raises(
        ConfigError, match=f"steer.held_out: {share} of the 80 items of sentiment in en: .* {what}, at least 20"
    ):
        held_out_ids(benchmark, share)


def candidates(model):
    rng = np.random.default_rng(0)
    return [
        intervene(model, {layer: rng.normal(size=32)}, strength=s, positions="last")
        for layer in (1, 2)
        for s in (1.0, 3.0)
    ]


def test_the_best_setting_is_that_of_evaluations_one_by_one(tiny, benchmark):
    ids = held_out_ids(benchmark, 0.4)[:16]
    german = benchmark.restricted("de")
    kept = {row.id for row in german.examples()["de"]} - set(ids)
    held = replace(german, left_out=frozenset(kept))
    summaries = [summarise(evaluate(attach_intervention(tiny, own), held))[0] for own in candidates(tiny)]
    chosen = {}
    for primary, expected in (("auto", "auroc"), ("calibrated", "calibrated_accuracy"), ("accuracy", "accuracy")):
        compare = CompareConfig(primary=primary)
        best, scores, metric = choose(tiny, benchmark, ids, candidates(tiny), EvaluateConfig(), no_progress, compare)
        alone = [getattr(summary, expected) for summary in summaries]
        np.testing.assert_allclose(scores, alone, atol=1e-6)
        assert metric == expected
        assert best.key == candidates(tiny)[int(np.argmax(alone))].key
        chosen[metric] = scores
    assert len(set(chosen["auroc"])) > 1
    assert chosen["auroc"] != chosen["accuracy"]


def test_undefined_choices_are_named(tiny, benchmark):
    one_label = [row.id for row in benchmark.examples()["en"] if row.label == "positive"]
    with pytest.raises(DataError, match="auroc of held-out items is undefined: no item has the label negative"):
        choose(tiny, benchmark, one_label, candidates(tiny), EvaluateConfig(), no_progress)
    by_fallback = CompareConfig(fallback="accuracy")
    assert (
        choose(tiny, benchmark, one_label, candidates(tiny), EvaluateConfig(), no_progress, by_fallback)[2]
        == "accuracy"
    )
    with pytest.raises(ConfigError, match=r"not calibrated by compare\.calibration pmi"):
        metrics_of(benchmark.task, CompareConfig(primary="calibrated", calibration="pmi"))
    thai = new_intervention("mine", describe(tiny, [1], languages=("th",)), {"th": {1: np.ones(32)}})
    with pytest.raises(ConfigError, match=r"steer\.choose: sentiment has none"):
        choose(tiny, benchmark, one_label, [thai], EvaluateConfig(), no_progress)
