"""Several runs: real against placebo, and seeds."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from spillover.core.errors import DataError
from spillover.stages.compare.contrasts import contrast
from spillover.stages.compare.stage import compare_arms
from spillover.stats.intervals import adjusted_wald
from tests.stages.compare.builders import (
    CODES,
    QUICK,
    runs_of,
)


def test_a_placebo_without_effect_is_beaten_by_the_paired_difference():
    runs = runs_of(("translate", 0, 0.4), ("copy", 0, 0.0))
    found = compare_arms(runs, config=QUICK)
    row = found.contrasts.set_index(["group", "metric"]).loc[("all", "accuracy")]
    parts = np.mean(
        [
            (runs[0].after.scores[code].logprobs.argmax(1) == runs[0].after.scores[code].gold).astype(float)
            - (runs[1].after.scores[code].logprobs.argmax(1) == runs[1].after.scores[code].gold)
            for code in CODES
        ],
        axis=0,
    )
    expected = adjusted_wald(parts, 0.95)
    assert (row["delta"], row["low"], row["high"]) == pytest.approx((expected.delta, expected.low, expected.high))
    assert "translate beats copy" in str(found)


def test_seeds_of_one_arm_are_pooled_and_their_spread_is_shown():
    runs = runs_of(("translate", 0, 0.2), ("translate", 1, 0.4), ("translate", 2, 0.3))
    found = compare_arms(runs, config=QUICK)
    assert found.contrasts is None
    row = found.seeds.set_index(["group", "metric"]).loc[("all", "accuracy")]
    assert row["seeds"] == 3
    assert row["seed_deviation"] == pytest.approx(np.std(row["deltas"], ddof=1))
    single = found.groups.set_index(["group", "metric"]).loc[("all", "accuracy")]
    assert row["high"] - row["low"] > single["high"] - single["low"]
    assert "over 3 seeds" in str(found)


def test_the_same_seed_twice_is_refused():
    runs = runs_of(("translate", 0, 0.2), ("copy", 0, 0.0), ("translate", 0, 0.4))
    runs[2] = replace(runs[2], name="again")
    with pytest.raises(DataError, match="translate-0 and again: one arm, recipe and seed"):
        compare_arms(runs, config=QUICK)


def test_seeds_widen_a_contrast():
    rng = np.random.default_rng(0)
    items = rng.normal(0, 1, (300, 1))
    steady, apart = items + np.zeros(3), items + np.array([-0.5, 0.0, 0.5])
    narrow, wide = (contrast(side, items + 0.1, "accuracy", 0.95) for side in (steady, apart))
    assert wide.error > narrow.error
    assert wide.error == pytest.approx(math.sqrt(narrow.error**2 + 0.25 * (1 / 3 + 1)), rel=0.05)


def test_runs_whose_languages_hold_other_items_are_never_mixed_up():
    """All ids are in both runs, but not the same ones in every language, and in another order."""
    first = runs_of(("translate", 0, 0.4))[0]

    def cut(side, places):
        own = side.scores["de"]
        kept = {name: getattr(own, name)[places] for name in ("gold", "logprobs", "tokens", "label_tokens")}
        ids = tuple(own.example_ids[i] for i in places)
        return replace(side, scores=side.scores | {"de": replace(own, example_ids=ids, **kept)})

    other = replace(first, name="other", arm="copy", **{
        side: cut(getattr(first, side), list(range(199, 49, -1))) for side in ("before", "after")
    })  # fmt: skip
    with pytest.raises(DataError, match=r"the runs differ, de: 50 items only in translate-0 \(i0, "):
        compare_arms([first, other], config=QUICK)
    shared = QUICK.model_copy(update={"missing_items": "intersection"})
    found = compare_arms([first, other], config=shared).contrasts
    assert (found["delta"] == 0).all(), "they are the same answers"
    assert set(found[found["group"] == "de"]["n"]) == {150}


def test_runs_on_other_texts_under_the_same_ids_are_refused():
    first = runs_of(("translate", 0, 0.4))[0]

    def with_texts(side, content):
        return replace(side, scores={code: replace(own, content=content) for code, own in side.scores.items()})

    ids = first.before.scores["de"].example_ids
    runs = [
        replace(
            first, name=name, arm=name, before=with_texts(first.before, texts), after=with_texts(first.after, texts)
        )
        for name, texts in (("one", ids), ("two", ids[::-1]))
    ]
    with pytest.raises(DataError, match=r"one and two: \w+: another text under the same id"):
        compare_arms(runs, config=QUICK)


def test_runs_with_other_gold_labels_are_refused():
    first = runs_of(("translate", 0, 0.4))[0]

    def turned(side):
        own = side.scores["de"]
        return replace(side, scores=side.scores | {"de": replace(own, gold=1 - own.gold)})

    other = replace(first, name="other", arm="copy", before=turned(first.before), after=turned(first.after))
    with pytest.raises(DataError, match="translate-0 and other: de: gold labels differ"):
        compare_arms([first, other], config=QUICK)
