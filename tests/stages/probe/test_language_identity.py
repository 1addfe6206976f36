"""A linear probe for the language: against scikit-learn's array classifier, and on states whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import RidgeClassifier
from sklearn.model_selection import GroupKFold, cross_val_predict

from spillover.core.errors import DataError
from spillover.core.tables import check_columns
from spillover.stages.probe.language_identity import (
    FOLDS,
    IDENTITY_COLUMNS,
    RIDGE,
    identity_table,
    label_draws,
    probe_values,
)
from spillover.stages.probe.parallel_states import ParallelStates

LANGUAGES, ITEMS, HIDDEN = 4, 30, 20
CODES = ["aa", "bb", "cc", "dd"]
LENGTHS = np.random.default_rng(9).integers(20, 80, (LANGUAGES, ITEMS))


def states(shift, seed=0):
    rng = np.random.default_rng(seed)
    shared = rng.normal(size=(1, ITEMS, HIDDEN))
    return shared + rng.normal(size=(LANGUAGES, ITEMS, HIDDEN)) + shift * rng.normal(size=(LANGUAGES, 1, HIDDEN))


def reader(array):
    return lambda pooling, layer: dict(zip(CODES, array, strict=False))


def table(array, random_weights=None, lengths=LENGTHS):
    lengths_by_code = dict(zip(CODES, lengths, strict=False))
    states = ParallelStates(reader(array), lengths_by_code, range(ITEMS), ["mean"], [3])
    return identity_table(states, rng=np.random.default_rng(1), random_weights=random_weights)


def rows(*args, **options):
    identity = table(*args, **options)
    return identity[identity["language"] == ""].set_index("measure")


def test_accuracy_is_that_of_scikit_learns_ridge_classifier_with_items_as_groups():
    array = states(0.5)
    flat = array.reshape(-1, HIDDEN)
    features = (flat - flat.mean(axis=0)) / flat.std(axis=0)
    labels = np.repeat(np.arange(LANGUAGES), ITEMS)
    groups = np.tile(np.arange(ITEMS), LANGUAGES)
    classifier = RidgeClassifier(alpha=RIDGE * ITEMS * LANGUAGES * (FOLDS - 1) / FOLDS)
    predicted = cross_val_predict(classifier, features, labels, groups=groups, cv=GroupKFold(FOLDS))
    accuracy = probe_values(array, label_draws(LANGUAGES, ITEMS, 0, np.random.default_rng(0)))["accuracy"]
    assert accuracy.ravel().tolist() == (predicted == labels).tolist()


def test_separation_is_the_share_of_variance_between_means():
    array = states(0.5)
    flat = array.reshape(-1, HIDDEN)
    between = ((array.mean(axis=1) - flat.mean(axis=0)) ** 2).sum() * ITEMS / ((flat - flat.mean(axis=0)) ** 2).sum()
    separation = probe_values(array, label_draws(LANGUAGES, ITEMS, 0, np.random.default_rng(0)))["separation"]
    assert separation.mean() == pytest.approx(between)


def test_languages_far_apart_are_identified():
    identity = rows(states(2.0))
    assert identity.loc["accuracy", "value"] > 0.95
    assert identity["clears"].all()
    assert identity.loc["accuracy", "permuted"] == pytest.approx(0.25, abs=0.05)
    assert identity.loc["accuracy", "permuted_share"] == pytest.approx(0.25, abs=0.06)
    by_language = table(states(2.0)).query("language != ''").set_index("language")["value"]
    assert by_language.index.tolist() == CODES
    assert by_language.mean() == pytest.approx(identity.loc["accuracy", "value"])


def test_languages_that_do_not_differ_do_not_clear_the_nulls():
    clears = np.mean([rows(states(0.0, seed))["clears"].to_numpy() for seed in range(12)], axis=0)
    assert (clears <= 3 / 12).all()


def test_states_that_encode_length_alone_do_not_clear_the_length_null():
    lengths = np.random.default_rng(0).integers(0, 8, (LANGUAGES, ITEMS)) + np.array([[10], [20], [40], [80]])
    array = np.log(lengths)[:, :, None] * np.random.default_rng(1).normal(size=HIDDEN) + 3
    row = rows(array, lengths=lengths).loc["accuracy"]
    assert row["value"] > row["permuted_limit"]
    assert not row["clears"]
    assert row["length_share"] > 0.9


def test_a_random_model_with_the_same_accuracy_explains_all_of_it():
    array = states(2.0)
    identity = rows(array, random_weights=reader(array))
    assert not identity["clears"].any()
    np.testing.assert_allclose(identity["random_weights_share"], 1)


def test_flat_states_are_undefined_and_one_language_is_refused():
    identity = rows(np.ones((LANGUAGES, ITEMS, HIDDEN)))
    assert identity["value"].isna().all()
    assert identity["reason"].eq("the states do not vary").all()
    with pytest.raises(DataError, match="needs at least 2 languages and 5 items, there are 1 and 30"):
        table(states(1.0)[:1], lengths=LENGTHS[:1])


def test_the_table_has_the_declared_columns_with_and_without_random_weights():
    array = states(2.0)
    for random_weights in (None, reader(array)):
        check_columns(table(array, random_weights), IDENTITY_COLUMNS)
