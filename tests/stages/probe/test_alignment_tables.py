"""Every measure on states whose answer is known: aligned, unrelated, driven by length; and the tables they make."""

from __future__ import annotations

import numpy as np
import pytest

from spillover.core.errors import DataError
from spillover.stages.probe.alignment_tables import MEASURES, alignment_tables
from spillover.stats.length_baseline import length_basis, length_retrieval, standardised
from spillover.stats.similarity import cosines, csls, mexa_hits, retrieval_hits

ITEMS, HIDDEN = 80, 120
IDS = [f"item-{i}" for i in range(ITEMS)]
rng = np.random.default_rng(0)
LENGTHS = {"xx": rng.integers(20, 120, ITEMS)}
LENGTHS["yy"] = np.round(LENGTHS["xx"] * 1.3 + rng.normal(size=ITEMS)).astype(int)


def tables(states, random_weights=None, **options):
    options = {
        "lengths": LENGTHS, "example_ids": IDS, "pairs": [("xx", "yy")], "poolings": ["last"], "layers": [0],
        "rng": np.random.default_rng(1), "draws": 100, "random_weights": random_weights,
    } | options  # fmt: skip
    return alignment_tables(lambda pooling, layer: states, **options)


def found(states, **options):
    return tables(states, **options)[0].set_index("measure")


def aligned(seed=0):
    rng = np.random.default_rng(seed)
    meaning = rng.normal(size=(ITEMS, 8)) @ rng.normal(size=(8, HIDDEN))
    return {code: meaning + 0.3 * rng.normal(size=(ITEMS, HIDDEN)) + rng.normal(size=HIDDEN) for code in LENGTHS}


def unrelated(seed=0):
    rng = np.random.default_rng(seed)
    return {code: rng.normal(size=(ITEMS, HIDDEN)) + rng.normal(size=HIDDEN) for code in LENGTHS}


def by_length(seed=0):
    """Nothing in the states but a smooth curve in the item's length, the same in both languages, and a little noise."""
    rng = np.random.default_rng(seed)
    curve, noise = rng.normal(size=(2, HIDDEN)), 0.02
    ways = {code: standardised(lengths) for code, lengths in LENGTHS.items()}
    return {
        code: 4 + np.outer(z, curve[0]) + 0.2 * np.outer(z**2, curve[1]) + noise * rng.normal(size=(ITEMS, HIDDEN))
        for code, z in ways.items()
    }


def test_aligned_states_clear_every_null():
    rows = found(aligned(), random_weights=lambda pooling, layer: unrelated(7))
    assert rows["clears"].all()
    assert (rows["low"] <= rows["value"] + 1e-9).all()
    assert (rows["value"] <= rows["high"] + 1e-9).all()
    shares = rows.loc[["mexa", "retrieval", "csls", "margin", "cka"], ["shuffled_share", "random_weights_share"]]
    assert (shares < 0.1).all(axis=None)


def test_unrelated_states_are_at_their_null():
    """About one in twenty may clear a null by chance; none does most of the time."""
    clears = np.mean([found(unrelated(seed))["clears"].to_numpy() for seed in range(12)], axis=0)
    assert (clears <= 3 / 12).all()
    rows = found(unrelated(3))
    assert abs(rows.loc["cka", "value"]) < 0.05
    assert rows.loc["mexa", "value"] <= 0.05


def test_states_driven_by_length_are_flagged_by_the_null_of_length():
    rows = found(by_length())
    assert rows.loc["cka", "value"] > 0.9
    assert (rows["value"] > rows["shuffled_limit"]).drop("procrustes").all()  # shuffles alone would be fooled
    assert not rows["clears"].drop("svcca").any()
    for measure in ("mexa", "retrieval", "retrieval_back", "margin", "cka", "procrustes"):
        assert rows.loc[measure, "length_share"] > 0.75, measure
    for measure in ("mexa", "margin", "cka"):
        assert found(aligned()).loc[measure, "length_share"] < 0.3


def test_length_that_says_nothing_leaves_all_of_the_variance():
    """A line fitted on few items can miss wildly on others; the null is then the mean, not worse than it."""
    rows = found(unrelated())
    assert rows.loc["procrustes", "length"] == 1
    assert rows.loc["procrustes", "length_limit"] == 1


def test_a_model_that_never_learnt_and_does_as_well_explains_everything():
    states = aligned()
    rows = found(states, random_weights=lambda pooling, layer: states)
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
    from spillover.stages.probe.alignment_tables import _clouds, _pair_shuffled, draws_of

    chance = draws_of(ITEMS, 4, np.random.default_rng(0))
    clouds = _clouds(states, [("xx", "yy")], chance)
    similarity = cosines(states["xx"], states["yy"])
    drawn = _pair_shuffled(similarity, clouds["xx"], clouds["yy"], np.zeros(4), chance)
    for i, order in enumerate(chance.shuffles):
        moved = cosines(states["xx"], states["yy"][order])
        assert drawn[0, i] == pytest.approx(mexa_hits(moved).mean())
        assert drawn[2, i] == pytest.approx(retrieval_hits(moved.T).mean())
        off = moved[~np.eye(ITEMS, dtype=bool)].mean()
        assert drawn[5, i] == pytest.approx(np.diag(moved).mean() - off)


def test_flat_states_are_undefined_with_a_reason():
    flat = {code: np.repeat(np.full((1, HIDDEN), 3.0, dtype=np.float16), ITEMS, axis=0) for code in LENGTHS}
    rows = found(flat)
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
    with pytest.raises(DataError, match="needs 6 items a language, there are 5"):
        tables(few, example_ids=IDS[:5], lengths={code: lengths[:5] for code, lengths in LENGTHS.items()})


def test_items_of_one_length_share_the_hit():
    same = np.full(5, 30)
    both, there, back = length_retrieval(same, same)
    assert there.tolist() == back.tolist() == [0.2] * 5
    assert both == pytest.approx([1 / 9] * 5)  # one of 9 cells, if ties were broken at random
    own = np.array([10, 20, 30, 40])
    assert [hits.tolist() for hits in length_retrieval(own, own * 2)] == [[1.0] * 4] * 3
    assert length_basis(same).shape == (5, 1)
