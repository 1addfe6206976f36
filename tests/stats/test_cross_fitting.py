"""Items that several models scored: what relates items to each other stays within a model's part."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from spillover.stats.auroc import auroc_influence
from spillover.stats.calibration import batch_calibrated, calibrated, log_odds
from spillover.stats.cross_fitting import area_and_influence, joined_parts
from tests.builders import random_table


def parts():
    tables = [random_table(np.random.default_rng(seed), n, labels=("a", "b")) for seed, n in ((0, 40), (1, 20))]
    return [
        replace(part, example_ids=tuple(f"{i}-{name}" for name in part.example_ids)) for i, part in enumerate(tables)
    ]


def test_the_area_is_the_mean_of_the_parts_weighted_by_items_and_influence_is_within_a_part():
    joined = joined_parts(parts(), ["1/2", "2/2"])
    own = [auroc_influence(log_odds(part.logprobs), part.gold) for part in parts()]
    area, influence = area_and_influence(joined)
    assert area == pytest.approx((40 * own[0][0] + 20 * own[1][0]) / 60)
    np.testing.assert_allclose(influence, np.concatenate([values for _, values in own]))


def test_batch_calibration_subtracts_each_parts_own_mean():
    values = calibrated(joined_parts(parts(), ["1/2", "2/2"]), "batch")
    np.testing.assert_allclose(values, np.concatenate([batch_calibrated(part.logprobs) for part in parts()]), atol=1e-6)


def test_joined_items_keep_their_order_and_say_who_scored_them():
    joined = joined_parts(parts(), ["1/2", "2/2"])
    assert joined.scored_by == ("1/2",) * 40 + ("2/2",) * 20
    assert joined.example_ids == parts()[0].example_ids + parts()[1].example_ids
    assert joined.calibration is None
    assert joined.take([0, 59]).scored_by == ("1/2", "2/2")


def test_items_of_one_model_are_one_part():
    (part, _) = parts()
    area, influence = area_and_influence(part)
    expected = auroc_influence(log_odds(part.logprobs), part.gold)
    assert area == expected[0]
    assert (influence == expected[1]).all()
