"""Several runs: real against placebo, and seeds."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from spillover.core.config import CompareConfig
from spillover.core.errors import DataError
from spillover.core.runs import open_run
from spillover.stages.compare.contrasts import TrainedRun, compare_runs, contrast
from spillover.stages.compare.stage import compare_run, read_comparisons
from spillover.stats.intervals import adjusted
from tests.builders import evaluation

QUICK = CompareConfig(draws=20)
CODES = ("en", "de", "th")


def sides(rng, base, gain, n=200):
    before = {code: rng.random(n) < base for code in CODES}
    after = {code: hits | (rng.random(n) < gain) for code, hits in before.items()}
    return evaluation(before), evaluation(after)


def runs_of(*arms, n=200, base=0):
    """Runs of (arm, seed, gain) that all start from one base."""
    rng = np.random.default_rng(base)
    before = {code: rng.random(n) < 0.5 for code in CODES}
    made = []
    for arm, seed, gain in arms:
        after = {code: hits | (rng.random(n) < gain) for code, hits in before.items()}
        made.append(TrainedRun(f"{arm}-{seed}", arm, "same", seed, ("de",), evaluation(before), evaluation(after)))
    return made


def test_a_placebo_that_does_as_well_is_not_beaten():
    found = compare_runs(runs_of(("translate", 0, 0.4), ("shuffled", 0, 0.4)), config=QUICK)
    assert found.verdict[0].numbers["answer"] == "accuracy rose, but it is not shown to beat a placebo"
    assert found.verdict[1].text.endswith("improved.")
    said = [sentence for sentence in found.verdict if sentence.about == "placebo"]
    assert len(said) == 3
    assert all("no evidence that translate beats shuffled" in sentence.text for sentence in said)


def test_a_placebo_that_does_nothing_is_beaten_by_the_paired_difference():
    runs = runs_of(("translate", 0, 0.4), ("copy", 0, 0.0))
    found = compare_runs(runs, config=QUICK)
    row = found.contrasts.set_index(["group", "metric"]).loc[("all", "accuracy")]
    parts = np.mean(
        [
            (runs[0].after.scores[code].logprobs.argmax(1) == runs[0].after.scores[code].gold).astype(float)
            - (runs[1].after.scores[code].logprobs.argmax(1) == runs[1].after.scores[code].gold)
            for code in CODES
        ],
        axis=0,
    )
    expected = adjusted(parts, 0.95)
    assert (row["delta"], row["low"], row["high"]) == pytest.approx((expected.delta, expected.low, expected.high))
    assert "translate beats copy" in str(found)


def test_seeds_of_one_arm_are_pooled_and_their_spread_is_shown():
    runs = runs_of(("translate", 0, 0.2), ("translate", 1, 0.4), ("translate", 2, 0.3))
    found = compare_runs(runs, config=QUICK)
    assert found.contrasts is None
    row = found.seeds.set_index(["group", "metric"]).loc[("all", "accuracy")]
    assert row["seeds"] == 3
    assert row["seed_deviation"] == pytest.approx(np.std(row["deltas"], ddof=1))
    single = found.groups.set_index(["group", "metric"]).loc[("all", "accuracy")]
    assert row["high"] - row["low"] > single["high"] - single["low"]
    assert "over 3 seeds" in str(found)


def test_seeds_widen_a_contrast():
    rng = np.random.default_rng(0)
    items = rng.normal(0, 1, (300, 1))
    steady, apart = items + np.zeros(3), items + np.array([-0.5, 0.0, 0.5])
    narrow, wide = (contrast(side, items + 0.1, "accuracy", 0.95) for side in (steady, apart))
    assert wide.error > narrow.error
    assert wide.error == pytest.approx(math.sqrt(narrow.error**2 + 0.25 * (1 / 3 + 1)), rel=0.05)


def test_runs_on_other_items_are_refused_or_cut_to_the_shared_ones():
    first = runs_of(("translate", 0, 0.4))[0]
    fewer = runs_of(("copy", 0, 0.4), n=150)[0]
    with pytest.raises(DataError, match=r"en: 50 items only in translate-0 \(i150, .*same data, limit and seed"):
        compare_runs([first, fewer], config=QUICK)
    found = compare_runs([first, fewer], config=QUICK.model_copy(update={"missing_items": "intersection"}))
    assert set(found.contrasts["n"]) == {150}
    other = replace(first, arm="copy", before=replace(first.before, task="nli"), after=replace(first.after, task="x"))
    with pytest.raises(DataError, match="cannot compare nli with x"):
        compare_runs([first, other], config=QUICK)


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
        compare_runs([first, other], config=QUICK)
    shared = QUICK.model_copy(update={"missing_items": "intersection"})
    found = compare_runs([first, other], config=shared).contrasts
    assert (found["delta"] == 0).all(), "they are the same answers"
    assert set(found[found["group"] == "de"]["n"]) == {150}


def test_runs_with_other_gold_labels_are_refused():
    first = runs_of(("translate", 0, 0.4))[0]

    def turned(side):
        own = side.scores["de"]
        return replace(side, scores=side.scores | {"de": replace(own, gold=1 - own.gold)})

    other = replace(first, name="other", arm="copy", before=turned(first.before), after=turned(first.after))
    with pytest.raises(DataError, match="translate-0 and other: de: gold labels differ"):
        compare_runs([first, other], config=QUICK)


def test_a_comparison_of_runs_reads_back(tmp_path):
    rng = np.random.default_rng(0)
    run = open_run(tmp_path / "run")
    run.update()
    before, after = sides(rng, 0.5, 0.2)
    made = compare_run(run, [before], [after], seen=["de"], config=QUICK, seed=0)
    read = read_comparisons(run.path / "compare")[0]
    assert read.verdict == made[0].verdict
    assert read.guard == made[0].guard
    assert read.contrasts is None
