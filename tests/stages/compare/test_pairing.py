"""Joining two evaluations by item: what is refused, what is left out, and the contributions of what remains."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from spillover.core.config import CompareConfig
from spillover.core.errors import DataError
from spillover.stages.compare import compare
from spillover.stages.compare.pairing import join, left_out, restricted
from tests.builders import (
    evaluation,
    random_hits,
)
from tests.stages.compare.builders import (
    QUICK,
)


def test_items_on_one_side_alone_are_refused_or_left_out():
    rng = np.random.default_rng(0)
    left, right = (evaluation({"en": random_hits(rng, 0.5, n)}) for n in (10, 8))
    with pytest.raises(DataError, match=r"sentiment en: 2 items only before \(i8, i9\)"):
        compare(left, right)
    found = compare(left, right, config=CompareConfig(missing_items="intersection", draws=50))
    assert found.languages["n"].tolist() == [8]


def test_order_of_items_does_not_matter():
    left = evaluation({"en": random_hits(np.random.default_rng(0), 0.5)})
    own = left.scores["en"]
    turned = replace(own, example_ids=own.example_ids[::-1], gold=own.gold[::-1], logprobs=own.logprobs[::-1])
    found = compare(left, replace(left, scores={"en": turned}), config=QUICK)
    assert found.languages["accuracy_delta"].tolist() == [0]


def test_languages_tasks_and_gold_that_differ_are_refused():
    rng = np.random.default_rng(0)
    left = evaluation({"en": random_hits(rng, 0.5), "de": random_hits(rng, 0.5)})
    with pytest.raises(DataError, match=r"sentiment: 1 language only before \(de\)"):
        compare(left, replace(left, scores={"en": left.scores["en"]}))
    with pytest.raises(DataError, match="cannot compare sentiment with nli"):
        compare(left, replace(left, task="nli"))
    other = {code: replace(scores, gold=1 - scores.gold) for code, scores in left.scores.items()}
    with pytest.raises(DataError, match="gold labels differ"):
        compare(left, replace(left, scores=other))


def test_an_empty_language_and_duplicate_ids_are_refused():
    rng = np.random.default_rng(0)
    left = evaluation({"en": random_hits(rng, 0.5, 10), "de": random_hits(rng, 0.5, 0)})
    with pytest.raises(DataError, match="before, sentiment de: no items"):
        compare(left, left)
    own = evaluation({"en": random_hits(rng, 0.5, 10)})
    twice = replace(own.scores["en"], example_ids=("i0",) * 2 + own.scores["en"].example_ids[2:])
    with pytest.raises(DataError, match="after, sentiment en: 1 duplicate ids: i0"):
        compare(own, replace(own, scores={"en": twice}))


def test_non_finite_scores_are_refused():
    own = evaluation({"en": random_hits(np.random.default_rng(0), 0.5, 10)})
    broken = own.scores["en"].logprobs.copy()
    broken[3, 0] = np.nan
    with pytest.raises(DataError, match="after, sentiment en: 1 items have non-finite scores: i3"):
        compare(own, replace(own, scores={"en": replace(own.scores["en"], logprobs=broken)}))


def test_languages_with_other_items_keep_their_means():
    """German lacks most items: the mean's change is still that of the levels, and no item is left out of the others."""
    rng = np.random.default_rng(0)
    sides = [evaluation({"en": random_hits(rng, share), "th": random_hits(rng, share)}) for share in (0.4, 0.7)]
    for side in sides:
        own = evaluation({"de": random_hits(rng, 0.5, 30)}).scores["de"]
        side.scores["de"] = replace(own, example_ids=tuple(f"i{2 * i}" for i in range(30)))
    found = compare(*sides, config=QUICK).groups.set_index(["group", "metric"])
    for metric in ("accuracy", "calibrated_accuracy", "auroc"):
        row = found.loc[("all", metric)]
        assert row["delta"] == pytest.approx(row["after"] - row["before"])
        assert row["n"] == 100
        assert row["low"] == pytest.approx(row["boot_low"], abs=0.04)
        assert row["high"] == pytest.approx(row["boot_high"], abs=0.04)


def test_content_goes_with_its_item():
    own = evaluation({"en": random_hits(np.random.default_rng(0), 0.5, 8)})
    known = replace(own.scores["en"], content=tuple("abcdefgh"))
    pairs = join(replace(own, scores={"en": known}), own, CompareConfig())
    [(kept, _)] = restricted(pairs, {"en": ["i6", "i1"]}).values()
    assert kept.content == ("g", "b")


def test_what_is_left_out_is_counted_and_named():
    rng = np.random.default_rng(0)
    left, right = (evaluation({"en": random_hits(rng, 0.5, n), "de": random_hits(rng, 0.5, 9)}) for n in (10, 8))
    pairs = join(left, right, CompareConfig(missing_items="intersection"))
    assert left_out(left, right, pairs) == ["Left out in en, as one side lacks them: 2 items (i8, i9)."]
    right = replace(right, scores={"de": right.scores["de"]})
    pairs = join(left, right, CompareConfig(missing_items="intersection"))
    assert left_out(left, right, pairs) == ["Left out, as one side lacks them: 1 language (en)."]


def with_content(side, contents, ids=None):
    """The evaluation with these hashes of its items' texts in every language, and other ids."""
    scores = {
        code: replace(rows, content=tuple(contents), example_ids=tuple(ids or rows.example_ids))
        for code, rows in side.scores.items()
    }
    return replace(side, scores=scores)


def test_other_texts_under_the_same_ids_are_refused_whatever_is_allowed():
    side = evaluation({"en": np.array([True] * 4)})
    before, after = with_content(side, "abcd"), with_content(side, "abXY")
    for missing_items in ("refuse", "intersection"):
        with pytest.raises(DataError, match=r"2 of 4 items have another text under the same id \(i2, i3\)"):
            join(before, after, CompareConfig(missing_items=missing_items))


def test_items_are_paired_by_their_content_where_their_ids_changed():
    hits = np.array([True, False, True, False])
    before = with_content(evaluation({"en": hits}), "abcd")
    after = evaluation({"en": hits})
    order = [2, 0, 3, 1]
    rows = after.scores["en"]
    shuffled = replace(rows, logprobs=rows.logprobs[order], gold=rows.gold[order], content=tuple("cadb"))
    left, right = join(before, replace(after, scores={"en": shuffled}))["en"]
    assert left.content == right.content == tuple("abcd")
    assert left.example_ids == right.example_ids
    assert np.array_equal(left.logprobs, right.logprobs)


def test_ids_of_their_own_on_each_side_are_paired_by_content():
    side = evaluation({"en": np.array([True, False, True])})
    left, right = join(with_content(side, "abc"), with_content(side, "abc", ("x", "y", "z")))["en"]
    assert right.example_ids == left.example_ids


def test_renumbered_items_of_which_one_is_missing_are_named():
    side = evaluation({"en": np.array([True, False, True])})
    before, after = with_content(side, "abc"), with_content(side, "bcd")
    with pytest.raises(DataError, match="another text under the same id"):
        join(before, after)
    # Every text of the left is on the right, and there is one more.
    longer = evaluation({"en": np.array([True, False, True, True])})
    with pytest.raises(DataError, match="1 item only after"):
        join(with_content(side, "abc"), with_content(longer, "xabc"))


def test_duplicate_texts_are_paired_by_id():
    side = evaluation({"en": np.array([True, False, True])})
    left, right = join(with_content(side, "aab"), with_content(side, "aab"))["en"]
    assert left.example_ids == right.example_ids == ("i0", "i1", "i2")


def test_items_that_were_paired_by_content_are_not_called_left_out():
    side = evaluation({"en": np.array([True, False, True])})
    before = with_content(side, "abc")
    intersection = CompareConfig(missing_items="intersection")
    for contents, ids, lost in (("abc", "xyz", []), ("abd", "xyz", ["2 items (i2, z)"])):
        after = with_content(side, contents, ids)
        sentences = left_out(before, after, join(before, after, intersection))
        assert sentences == [f"Left out in en, as one side lacks them: {names}." for names in lost]
