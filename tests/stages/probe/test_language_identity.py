"""A linear probe for the language: against scikit-learn's own classifier, and on states whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import RidgeClassifier
from sklearn.model_selection import GroupKFold, cross_val_predict

from spillover.core.errors import DataError
from spillover.stages.probe.language_identity import FOLDS, RIDGE, identity_table, label_draws, probe_parts

LANGUAGES, ITEMS, HIDDEN = 4, 30, 20
CODES = ["aa", "bb", "cc", "dd"]
LENGTHS = np.random.default_rng(9).integers(20, 80, (LANGUAGES, ITEMS))


def states(shift, seed=0):
    rng = np.random.default_rng(seed)
    shared = rng.normal(size=(1, ITEMS, HIDDEN))
    return shared + rng.normal(size=(LANGUAGES, ITEMS, HIDDEN)) + shift * rng.normal(size=(LANGUAGES, 1, HIDDEN))


def table(own, random_weights=None, lengths=LENGTHS):
    return identity_table(
        lambda pooling, layer: own, lengths=lengths, languages=CODES, poolings=["mean"], layers=[3],
        rng=np.random.default_rng(1), random_weights=random_weights,
    )  # fmt: skip


def rows(*args, **options):
    found = table(*args, **options)
    return found[found["language"] == ""].set_index("measure")


def test_accuracy_is_scikit_learns_ridge_classifier_with_items_as_folds():
    own = states(0.5)
    flat = own.reshape(-1, HIDDEN)
    features = (flat - flat.mean(axis=0)) / flat.std(axis=0)
    labels = np.repeat(np.arange(LANGUAGES), ITEMS)
    groups = np.tile(np.arange(ITEMS), LANGUAGES)
    classifier = RidgeClassifier(alpha=RIDGE * ITEMS * LANGUAGES * (FOLDS - 1) / FOLDS)
    said = cross_val_predict(classifier, features, labels, groups=groups, cv=GroupKFold(FOLDS))
    found = probe_parts(own, label_draws(LANGUAGES, ITEMS, 0, np.random.default_rng(0)))["accuracy"]
    assert found.ravel().tolist() == (said == labels).tolist()


def test_separation_is_the_variance_between_means():
    own = states(0.5)
    flat = own.reshape(-1, HIDDEN)
    between = ((own.mean(axis=1) - flat.mean(axis=0)) ** 2).sum() * ITEMS / ((flat - flat.mean(axis=0)) ** 2).sum()
    found = probe_parts(own, label_draws(LANGUAGES, ITEMS, 0, np.random.default_rng(0)))["separation"]
    assert found.mean() == pytest.approx(between)


def test_languages_that_lie_apart_are_told_apart():
    found = rows(states(2.0))
    assert found.loc["accuracy", "value"] > 0.95
    assert found["clears"].all()
    assert found.loc["accuracy", "permuted"] == pytest.approx(0.25, abs=0.05)
    assert found.loc["accuracy", "permuted_share"] == pytest.approx(0.25, abs=0.06)
    by_language = table(states(2.0)).query("language != ''").set_index("language")["value"]
    assert by_language.index.tolist() == CODES
    assert by_language.mean() == pytest.approx(found.loc["accuracy", "value"])


def test_languages_that_do_not_differ_are_at_their_null():
    clears = np.mean([rows(states(0.0, seed))["clears"].to_numpy() for seed in range(12)], axis=0)
    assert (clears <= 3 / 12).all()


def test_what_length_alone_tells_is_flagged():
    lengths = np.random.default_rng(0).integers(0, 8, (LANGUAGES, ITEMS)) + np.array([[10], [20], [40], [80]])
    own = np.log(lengths)[:, :, None] * np.random.default_rng(1).normal(size=HIDDEN) + 3
    row = rows(own, lengths=lengths).loc["accuracy"]
    assert row["value"] > row["permuted_limit"]
    assert not row["clears"]
    assert row["length_share"] > 0.9


def test_random_weights_that_do_as_well_explain_it():
    own = states(2.0)
    found = rows(own, random_weights=lambda pooling, layer: own)
    assert not found["clears"].any()
    np.testing.assert_allclose(found["random_weights_share"], 1)


def test_flat_states_are_undefined_and_one_language_is_refused():
    found = rows(np.ones((LANGUAGES, ITEMS, HIDDEN)))
    assert found["value"].isna().all()
    assert found["reason"].eq("the states do not vary").all()
    with pytest.raises(DataError, match="needs 2 languages and 5 items, there are 1 and 30"):
        table(states(1.0)[:1], lengths=LENGTHS[:1])
