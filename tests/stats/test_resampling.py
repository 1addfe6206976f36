"""All draws at once equal one draw after another, and scipy's and scikit-learn's own."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import bootstrap
from sklearn.metrics import roc_auc_score

from spillover.stages.compare.pairing import changes_of, join
from spillover.stats.calibration import normalised
from spillover.stats.resampling import (
    bootstrap_changes,
    item_weights,
    percentile_interval,
    resampled_means,
    resampled_medians,
    weighted_auroc,
    weighted_calibrated_accuracy,
)
from spillover.stats.summary import (
    calibrated_hits,
    measures,
)
from tests.builders import (
    random_evaluation,
    table,
)


@pytest.mark.parametrize("items", [1, 2, 7, 40])
def test_medians_are_those_of_the_repeated_items(items):
    rng = np.random.default_rng(items)
    values = np.round(rng.normal(0, 2, (items, 5)))  # ties
    weights = item_weights(items, 30, rng)
    expected = [np.median(np.repeat(values, row, axis=0), axis=0) for row in weights.astype(int)]
    np.testing.assert_array_equal(resampled_medians(values, weights), expected)


@pytest.mark.parametrize("labels", [("a", "b"), ("a", "b", "c")])
def test_weights_equal_repeated_items(labels):
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


def test_equal_weights_give_the_unweighted_metrics():
    sides = [random_evaluation(np.random.default_rng(seed), ["en", "de"], 50) for seed in (0, 1)]
    pairs = join(*sides)
    ids = changes_of(pairs).example_ids
    changes = bootstrap_changes(pairs, ids, np.ones((1, 50)))
    for metric in ("accuracy", "calibrated_accuracy", "auroc"):
        expected = [measures(right)[metric] - measures(left)[metric] for left, right in pairs.values()]
        np.testing.assert_allclose(changes[metric][0], expected)


def test_the_bootstrap_interval_equals_scipys():
    sides = [random_evaluation(np.random.default_rng(seed), ["en"], 200) for seed in (0, 1)]
    pairs = join(*sides)
    changes = changes_of(pairs)
    draws = bootstrap_changes(pairs, changes.example_ids, item_weights(200, 20_000, np.random.default_rng(1)))
    parts = changes.of_language("accuracy", "en")
    theirs = bootstrap((parts,), np.mean, n_resamples=20_000, method="percentile", rng=np.random.default_rng(2))
    ours = percentile_interval(draws["accuracy"][:, 0], 0.95)
    np.testing.assert_allclose(ours, (theirs.confidence_interval.low, theirs.confidence_interval.high), atol=0.006)


def test_the_percentile_interval_by_hand():
    draws = np.arange(1001.0)
    assert percentile_interval(draws, 0.9) == pytest.approx((50, 950))


def test_resampled_hits_are_exact_fractions():
    """Whatever kernel adds them up: where every item is a hit, every resample's rate is 1 and not nearly 1."""
    counts = item_weights(49, 500, np.random.default_rng(0))
    assert set(np.unique(resampled_means(np.ones((49, 3)), counts))) == {1.0}
    hits = np.repeat([0.0, 1.0], [20, 29])
    np.testing.assert_array_equal(resampled_means(hits, counts), counts[:, 20:].sum(axis=1) / 49)
    assert (counts.sum(axis=1) == 49).all()
