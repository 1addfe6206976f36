"""Every measure on states whose answer is known: aligned, unrelated, driven by length; and the tables they make."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest

from spillover.core.errors import DataError
from spillover.core.tables import check_columns
from spillover.stages.probe.alignment_tables import (
    ALIGNMENT_COLUMNS,
    ITEM_COLUMNS,
    MEASURES,
    alignment_tables,
    make_draws,
    shuffled_retrieval,
    wilson_width,
)
from spillover.stages.probe.parallel_states import ParallelStates
from spillover.stats.length_baseline import standardised
from spillover.stats.similarity import cosines, csls, mexa_hits, retrieval_hits

ITEMS, HIDDEN = 80, 120
IDS = [f"item-{i}" for i in range(ITEMS)]
rng = np.random.default_rng(0)
LENGTHS = {"xx": rng.integers(20, 120, ITEMS)}
LENGTHS["yy"] = np.round(LENGTHS["xx"] * 1.3 + rng.normal(size=ITEMS)).astype(int)


def tables(states, random_weights=None, pairs=(("xx", "yy"),), lengths=LENGTHS, poolings=("last",), layers=(0,)):
    parallel = ParallelStates(lambda pooling, layer: states, lengths, IDS[: len(lengths["xx"])], poolings, layers)
    rng = np.random.default_rng(1)
    return alignment_tables(parallel, pairs, rng=rng, draws=100, random_weights=random_weights)


def by_measure(states, **options):
    return tables(states, **options)[0].set_index("measure")


def aligned(seed=0):
    rng = np.random.default_rng(seed)
    meaning = rng.normal(size=(ITEMS, 8)) @ rng.normal(size=(8, HIDDEN))
    return {code: meaning + 0.3 * rng.normal(size=(ITEMS, HIDDEN)) + rng.normal(size=HIDDEN) for code in LENGTHS}


def unrelated(seed=0):
    rng = np.random.default_rng(seed)
    return {code: rng.normal(size=(ITEMS, HIDDEN)) + rng.normal(size=HIDDEN) for code in LENGTHS}


def by_length(seed=0):
    """States that are a smooth curve in the item's length, the same in both languages, with a little noise."""
    rng = np.random.default_rng(seed)
    curve, noise = rng.normal(size=(2, HIDDEN)), 0.02
    scores = {code: standardised(lengths) for code, lengths in LENGTHS.items()}
    return {
        code: 4 + np.outer(z, curve[0]) + 0.2 * np.outer(z**2, curve[1]) + noise * rng.normal(size=(ITEMS, HIDDEN))
        for code, z in scores.items()
    }


def test_aligned_states_clear_every_null():
    rows = by_measure(aligned(), random_weights=lambda pooling, layer: unrelated(7))
    assert rows["clears"].all()
    assert (rows["low"] <= rows["value"] + 1e-9).all()
    assert (rows["value"] <= rows["high"] + 1e-9).all()
    shares = rows.loc[["mexa", "retrieval", "csls", "margin", "cka"], ["shuffled_share", "random_weights_share"]]
    assert (shares < 0.1).all(axis=None)


def test_unrelated_states_do_not_clear_their_nulls():
    """About one in twenty clears a null by chance."""
    clears = np.mean([by_measure(unrelated(seed))["clears"].to_numpy() for seed in range(12)], axis=0)
    assert (clears <= 3 / 12).all()
    rows = by_measure(unrelated(3))
    assert abs(rows.loc["cka", "value"]) < 0.05
    assert rows.loc["mexa", "value"] <= 0.05


def test_states_that_encode_length_alone_do_not_clear_the_length_null():
    rows = by_measure(by_length())
    assert rows.loc["cka", "value"] > 0.9
    assert (
        (rows["value"] > rows["shuffled_limit"]).drop("procrustes").all()
    )  # the permutation null alone would not show it
    assert not rows["clears"].drop("svcca").any()
    for measure in ("mexa", "retrieval", "retrieval_back", "margin", "cka", "procrustes"):
        assert rows.loc[measure, "length_share"] > 0.75, measure
    for measure in ("mexa", "margin", "cka"):
        assert by_measure(aligned()).loc[measure, "length_share"] < 0.3


def test_uninformative_length_leaves_all_of_the_variance():
    """A line fitted on few items may predict others worse than the mean does; the null is then the mean."""
    rows = by_measure(unrelated())
    assert rows.loc["procrustes", "length"] == 1
    assert rows.loc["procrustes", "length_limit"] == 1


def test_a_random_model_with_the_same_alignment_explains_all_of_it():
    states = aligned()
    rows = by_measure(states, random_weights=lambda pooling, layer: states)
    assert not rows["clears"].any()
    np.testing.assert_allclose(rows["random_weights_share"], 1)


def test_values_are_the_means_of_the_items_table_and_hits_are_the_definitions():
    states = aligned()
    rows, items = tables(states)
    for measure, row in rows.set_index("measure").iterrows():
        assert items[measure].mean() == pytest.approx(row["value"], rel=1e-5), measure
    similarity = cosines(states["xx"], states["yy"])
    assert items["mexa"].tolist() == mexa_hits(similarity).tolist()
    assert items["csls_back"].tolist() == retrieval_hits(csls(similarity).T).tolist()
    assert items["example_id"].tolist() == IDS


def test_shuffled_retrieval_equals_retrieving_shuffled_states():
    states = unrelated()
    shuffles = make_draws(ITEMS, 4, np.random.default_rng(0)).shuffles
    hits, margin = shuffled_retrieval(cosines(states["xx"], states["yy"]), shuffles)
    for i, order in enumerate(shuffles):
        permuted = cosines(states["xx"], states["yy"][order])
        assert hits["mexa"][i] == pytest.approx(mexa_hits(permuted).mean())
        assert hits["retrieval_back"][i] == pytest.approx(retrieval_hits(permuted.T).mean())
        others = permuted[~np.eye(ITEMS, dtype=bool)].mean()
        assert margin[i] == pytest.approx(np.diag(permuted).mean() - others)


def test_where_all_items_agree_the_interval_is_wilsons():
    assert binomtest(40, 40).proportion_ci(0.95, "wilson").low == pytest.approx(1 - wilson_width(40, 0.95))
    same = {"xx": aligned()["xx"], "yy": aligned()["xx"]}
    row = by_measure(same).loc["mexa"]
    assert (row["low"], row["value"], row["high"]) == (pytest.approx(1 - wilson_width(ITEMS, 0.95)), 1, 1)


def test_the_tables_have_the_declared_columns_with_and_without_random_weights():
    for random_weights in (None, lambda pooling, layer: unrelated(7)):
        alignment, items = tables(aligned(), random_weights)
        check_columns(alignment, ALIGNMENT_COLUMNS)
        check_columns(items, ITEM_COLUMNS)


def test_flat_states_are_undefined_with_a_reason():
    flat = {code: np.repeat(np.full((1, HIDDEN), 3.0, dtype=np.float16), ITEMS, axis=0) for code in LENGTHS}
    rows = by_measure(flat)
    assert rows["value"].isna().all()
    assert rows["reason"].eq("the states do not vary").all()
    assert not rows["clears"].any()


def test_every_pooling_layer_and_pair_has_its_rows_and_the_same_seed_the_same_bytes():
    options = {"pairs": [("xx", "yy"), ("yy", "xx")], "poolings": ["last", "weighted"], "layers": [0, 1, 2]}
    first, second = tables(aligned(), **options), tables(aligned(), **options)
    assert len(first[0]) == 2 * 2 * 3 * len(MEASURES)
    assert len(first[1]) == 2 * 2 * 3 * ITEMS
    assert first[0].equals(second[0])
    assert first[1].equals(second[1])


def test_too_few_items_are_refused():
    few = {code: states[:5] for code, states in aligned().items()}
    with pytest.raises(DataError, match="needs at least 6 items per language, there are 5"):
        tables(few, lengths={code: lengths[:5] for code, lengths in LENGTHS.items()})
