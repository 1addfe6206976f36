"""AUROC and its error against scikit-learn and the definition."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import rankdata
from sklearn.metrics import roc_auc_score

from spillover.stats.auroc import auroc_influence, placements
from spillover.stats.calibration import normalised
from spillover.stats.summary import (
    auroc,
)
from tests.builders import (
    random_table,
    table,
)


def test_delong_variance_equals_its_definition():
    rng = np.random.default_rng(0)
    scores = random_table(rng, 40, ("a", "b"))
    values = normalised(scores.logprobs)
    area, influence = auroc_influence(values, scores.gold)
    positive, negative = values[scores.gold == 0, 0], values[scores.gold == 1, 0]
    wins = (positive[:, None] > negative) + 0.5 * (positive[:, None] == negative)
    variance = wins.mean(1).var(ddof=1) / len(positive) + wins.mean(0).var(ddof=1) / len(negative)
    assert area == pytest.approx(wins.mean())
    assert (influence**2).sum() / 40**2 == pytest.approx(variance)


@pytest.mark.parametrize("decimals", [8, 1, 0])
def test_placements_are_differences_of_ranks(decimals):
    """An item's rank among all less its rank among its own is how many others lie below; ties take the mean rank."""
    rng = np.random.default_rng(decimals)
    column, of_label = rng.normal(size=41).round(decimals), np.arange(41) % 3 == 0
    others_below = np.empty(41)
    for own in (of_label, ~of_label):
        others_below[own] = (rankdata(column)[own] - rankdata(column[own])) / (41 - own.sum())
    assert (placements(column, of_label) == np.where(of_label, others_below, 1 - others_below)).all()
    column[7] = np.nan
    assert np.isnan(placements(column, of_label)).all()


def test_auroc_equals_scikit_learn_one_vs_rest():
    scores = random_table(np.random.default_rng(1))
    expected = roc_auc_score(scores.gold, np.exp(normalised(scores.logprobs)), multi_class="ovr")
    assert auroc(scores) == pytest.approx(expected)


def test_an_auroc_near_certainty_is_not_made_of_ties():
    """Normalised log-probabilities of 40 nats' lead are all 0 in double precision; their order is there all the same."""
    lead = np.array([42.0, 41.0, 40.0, 39.0])
    scores = table(np.stack([np.zeros(4), -lead], axis=1), [0, 0, 1, 1])
    assert len(np.unique(normalised(scores.logprobs)[:, 0])) == 1
    assert auroc(scores) == pytest.approx(1)
    assert auroc(table(scores.logprobs[:, ::-1], [0, 0, 1, 1])) == pytest.approx(0)
