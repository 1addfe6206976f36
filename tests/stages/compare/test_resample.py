"""All draws at once equal one draw after another, and scipy's and scikit-learn's own."""

from __future__ import annotations

from importlib import import_module

import numpy as np
import pytest
from scipy.stats import bootstrap
from sklearn.metrics import roc_auc_score

from spillover.core.config import CompareConfig
from spillover.stages.compare.paired import compare
from spillover.stages.compare.pairing import changes_of, join
from spillover.stages.compare.resample import (
    bootstrap_changes,
    item_weights,
    weighted_auroc,
    weighted_calibrated_accuracy,
)
from spillover.stats.calibration import normalised
from spillover.stats.intervals import percentile
from spillover.stats.summary import calibrated_hits, measures
from tests.builders import random_evaluation, table


@pytest.mark.parametrize("labels", [("a", "b"), ("a", "b", "c")])
def test_weights_are_repeated_items(labels):
    rng = np.random.default_rng(0)
    scores = random_evaluation(rng, ["en"], 60, labels, bias=1.0).scores["en"]
    weights = item_weights(60, 20, rng)
    values = normalised(np.round(scores.logprobs, 1))  # ties
    areas = weighted_auroc(values, scores.gold, weights)
    rights = weighted_calibrated_accuracy(values, scores.gold, weights)
    for draw, row in enumerate(weights.astype(int)):
        drawn = np.repeat(np.arange(60), row)
        gold = scores.gold[drawn]
        expected = np.mean([roc_auc_score(gold == i, values[drawn, i]) for i in range(len(labels))])
        assert areas[draw] == pytest.approx(expected)
        assert rights[draw] == pytest.approx(calibrated_hits(table(values[drawn], gold, labels)).mean(), abs=0.04)


def test_equal_weights_give_the_metrics_themselves(monkeypatch):
    sides = [random_evaluation(np.random.default_rng(seed), ["en", "de"], 50) for seed in (0, 1)]
    pairs = join(*sides)
    ids = changes_of(pairs).example_ids
    monkeypatch.setattr(import_module("spillover.stages.compare.resample"), "item_weights", lambda *_: np.ones((1, 50)))
    found = bootstrap_changes(pairs, ids, draws=1, rng=np.random.default_rng(0))
    for metric in ("accuracy", "calibrated_accuracy", "auroc"):
        expected = [measures(right)[metric] - measures(left)[metric] for left, right in pairs.values()]
        np.testing.assert_allclose(found[metric][0], expected)


def test_the_bootstrap_interval_is_scipys():
    sides = [random_evaluation(np.random.default_rng(seed), ["en"], 200) for seed in (0, 1)]
    pairs = join(*sides)
    changes = changes_of(pairs)
    draws = bootstrap_changes(pairs, changes.example_ids, draws=20_000, rng=np.random.default_rng(1))
    parts = changes.column("accuracy", "en")
    theirs = bootstrap((parts,), np.mean, n_resamples=20_000, method="percentile", rng=np.random.default_rng(2))
    ours = percentile(draws["accuracy"][:, 0], 0.95)
    np.testing.assert_allclose(ours, (theirs.confidence_interval.low, theirs.confidence_interval.high), atol=0.006)


def test_the_interval_of_auroc_is_near_the_bootstraps():
    sides = [random_evaluation(np.random.default_rng(seed), ["en", "de"], 300, ("a", "b", "c")) for seed in (0, 1)]
    found = compare(*sides, config=CompareConfig(draws=2000)).languages
    for side in ("low", "high"):
        np.testing.assert_allclose(found[f"auroc_{side}"], found[f"auroc_boot_{side}"], atol=0.012)
