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


def test_the_same_ids_with_another_content_are_other_items():
    own = evaluation({"en": random_hits(np.random.default_rng(0), 0.5, 8)})
    known = replace(own.scores["en"], content=tuple("abcdefgh"))
    other = replace(known, content=tuple("abXdefgY"))
    sides = [replace(own, scores={"en": scores}) for scores in (known, other)]
    with pytest.raises(DataError, match=r"sentiment en: 2 of 8 items have another content on the two sides: i2, i7"):
        compare(*sides, config=QUICK)
    assert compare(own, sides[1], config=QUICK).languages["n"].tolist() == [8]  # not known on one side


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
    assert left_out(left, right, pairs) == ["Left out in en, as one side lacks them: 2 items (i8, i9)"]
    right = replace(right, scores={"de": right.scores["de"]})
    pairs = join(left, right, CompareConfig(missing_items="intersection"))
    assert left_out(left, right, pairs) == ["Left out, as one side lacks them: 1 language (en)"]
