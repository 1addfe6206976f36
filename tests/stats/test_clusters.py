"""Clusters: means stay, errors are those of clusters, as a bootstrap over whole clusters has them."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import t

from spillover.stats.clusters import cluster_contributions, cluster_numbers, cluster_sums
from spillover.stats.contributions import estimate
from spillover.stats.intervals import adjusted_wald
from spillover.stats.power import minimum_detectable_mean
from spillover.stats.resampling import item_weights
from spillover.stats.significance import noninferiority_test, sign_flip_test, tango_test


def test_clusters_are_numbered_by_their_first_items():
    assert cluster_numbers(("b", "a", "b", "c")).tolist() == [0, 1, 0, 2]
    assert cluster_numbers(()).tolist() == []


def test_contributions_of_clusters_have_the_mean_of_the_items():
    rng = np.random.default_rng(0)
    values, numbers = rng.normal(size=(50, 3)), rng.integers(0, 7, 50)
    np.testing.assert_allclose(cluster_contributions(values, numbers).mean(axis=0), values.mean(axis=0))


def test_clusters_of_one_size_have_the_means_of_their_items():
    values = np.arange(12.0)
    found = cluster_contributions(values, np.repeat(np.arange(4), 3))
    np.testing.assert_allclose(found, values.reshape(4, 3).mean(axis=1))


def test_clusters_of_one_item_change_nothing():
    values = np.random.default_rng(1).normal(size=20)
    np.testing.assert_allclose(cluster_contributions(values, np.arange(20)), values)
    np.testing.assert_array_equal(cluster_sums(values, np.arange(20)), values)


def test_a_cluster_that_pulls_the_mean_towards_itself_counts_for_more():
    numbers = np.repeat(np.arange(4), (30, 2, 2, 2))
    values = np.repeat([1.0, 0.0, 0.0, 0.0], (30, 2, 2, 2))
    of_clusters = cluster_contributions(values, numbers)
    plain = cluster_sums(values - values.mean(), numbers) * 4 / 36
    assert of_clusters.mean() == pytest.approx(values.mean())
    assert of_clusters.std() > 1.3 * plain.std()


def test_clusters_that_do_not_vary_have_the_error_of_one_that_flips():
    found = estimate(np.zeros(12), "accuracy", 0.95, clustered=True)
    assert found.high == -found.low == pytest.approx(t.ppf(0.975, 11) / 12)


def test_the_error_is_that_of_a_bootstrap_over_whole_clusters():
    rng = np.random.default_rng(2)
    numbers = rng.integers(0, 60, 400)
    values = rng.normal(0.1, 1, 60)[numbers] + rng.normal(0, 0.5, 400)
    of_clusters = cluster_contributions(values, numbers)
    error = of_clusters.std(ddof=1) / np.sqrt(len(of_clusters))
    weights = item_weights(400, 4000, np.random.default_rng(3), clusters=numbers)
    draws = weights @ values / weights.sum(axis=1)
    assert error == pytest.approx(draws.std(), rel=0.08)
    assert error > 1.8 * values.std(ddof=1) / np.sqrt(400)


def test_intervals_of_clustered_items_cover_the_true_value():
    """60 clusters of 1 to 8 items: the interval over items covers far too rarely, that over clusters does not."""
    rng = np.random.default_rng(4)
    covered = {"items": 0, "clusters": 0}
    for _ in range(400):
        numbers = np.repeat(np.arange(60), rng.integers(1, 9, 60))
        shift = rng.normal(0, 0.5, 60)[numbers]
        values = np.sign(shift) * (rng.random(len(numbers)) < np.abs(shift))
        for name, own in (("items", values), ("clusters", cluster_contributions(values, numbers))):
            change = adjusted_wald(own, 0.95)
            covered[name] += change.low <= 0 <= change.high
    assert covered["items"] < 340
    assert covered["clusters"] >= 370


@pytest.mark.parametrize("metric", ["accuracy", "auroc"])
def test_p_and_interval_of_clusters_agree_and_have_the_quantiles_of_t(metric):
    rng = np.random.default_rng(5)
    parts = rng.normal(0.12, 0.2, 12)
    normal, few = (estimate(parts, metric, 0.95, clustered=clustered) for clustered in (False, True))
    assert few.delta == normal.delta
    assert few.high - few.low > 1.1 * (normal.high - normal.low)
    assert few.p > normal.p
    # At the level 1 - p the interval ends at zero.
    edge = estimate(parts, metric, 1 - few.p, clustered=True)
    assert min(abs(edge.low), abs(edge.high)) == pytest.approx(0, abs=1e-9)
    if metric == "accuracy":
        assert few.high - few.delta == few.delta - few.low == pytest.approx(t.ppf(0.975, 11) * few.error)
        assert few.error >= parts.std(ddof=1) / np.sqrt(12)


def test_non_inferiority_and_power_of_clusters_have_the_quantiles_of_t():
    parts = np.random.default_rng(6).normal(-0.01, 0.05, 12)
    (_, high, p), (_, high_few, p_few) = (
        noninferiority_test(parts, 0.02, 0.025, clustered=clustered) for clustered in (False, True)
    )
    assert high_few > high
    assert abs(p_few - 0.5) < abs(p - 0.5)
    low, high, p = tango_test(parts, 0.02, 0.95)
    low_few, high_few, p_few = tango_test(parts, 0.02, 0.95, clustered=True)
    assert low_few < low < high < high_few
    assert abs(p_few - 0.5) < abs(p - 0.5)
    assert minimum_detectable_mean(0.01, clusters=12) > 1.05 * minimum_detectable_mean(0.01)
    assert minimum_detectable_mean(0.01, clusters=10**6) == pytest.approx(minimum_detectable_mean(0.01), rel=1e-4)


def test_a_sign_flip_test_over_clusters_exchanges_whole_clusters():
    """Ten items that all turn right in one cluster are one exchange, not ten."""
    values = np.concatenate([np.ones(10), np.zeros(10)])
    numbers = np.repeat([0, 1, 2], [10, 5, 5])
    assert sign_flip_test(values)[0] < 0.01
    assert sign_flip_test(cluster_sums(values, numbers))[0] == 1.0


def test_weights_of_a_cluster_are_one_number():
    numbers = np.array([0, 0, 1, 2, 2, 2])
    weights = item_weights(6, 50, np.random.default_rng(0), clusters=numbers)
    assert (weights[:, 0] == weights[:, 1]).all()
    assert (weights[:, 3:5] == weights[:, [5]]).all()
    assert (weights[:, [0, 2, 3]].sum(axis=1) == 3).all()
