"""Comparisons from end to end: what is found, what is refused, what is undefined."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from spillover.core.config import CompareConfig
from spillover.core.errors import ConfigError, DataError
from spillover.core.runs import open_run
from spillover.core.types import Evaluation, ModelRef
from spillover.stages.compare.language_groups import Group, groups_of
from spillover.stages.compare.paired import compare
from spillover.stages.compare.stage import compare_run, read_comparisons
from tests.builders import evaluation, random_hits, table

QUICK = CompareConfig(draws=300)


def test_a_true_gain_is_found_and_signed():
    rng = np.random.default_rng(0)
    before = {code: random_hits(rng, 0.5) for code in ("en", "de")}
    after = {code: hits | (rng.random(100) < 0.5) for code, hits in before.items()}
    found = compare(evaluation(before), evaluation(after), seen=["de"], config=QUICK)
    assert (found.languages["accuracy_delta"] > 0.1).all()
    assert (found.languages["lost"] == 0).all()
    assert (found.languages["holm_p"] < 0.01).all()
    assert found.verdict[0].numbers["answer"] == "yes"
    assert found.verdict[1].text.endswith("improved.")
    assert (found.languages["holm_p"] >= found.languages["mcnemar_mid_p"]).all()


def test_same_evaluation_twice_is_no_change_at_all():
    same = evaluation({"en": random_hits(np.random.default_rng(0), 0.7)})
    found = compare(same, same, config=QUICK)
    assert (found.languages[["accuracy_delta", "calibrated_accuracy_delta", "auroc_delta"]] == 0).all(axis=None)
    assert not any("improved" in sentence.text or "got worse" in sentence.text for sentence in found.verdict)
    assert found.verdict[0].numbers["answer"] == "not shown"


def test_trained_languages_as_one_string():
    same = evaluation({code: random_hits(np.random.default_rng(0), 0.7) for code in ("en", "de", "th")})
    assert compare(same, same, seen="de,th", config=QUICK).seen == ("de", "th")


def test_same_seed_same_numbers():
    rng = np.random.default_rng(0)
    left, right = (evaluation({"en": random_hits(rng, share)}) for share in (0.5, 0.6))
    assert compare(left, right, seed=4).languages.equals(compare(left, right, seed=4).languages)


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


def test_groups_come_from_what_was_trained_on():
    found = {group.name: group.languages for group in groups_of(("en", "de", "fr"), ["de"])}
    assert found.pop("family Germanic") == ("en", "de")
    assert found == {"all": ("en", "de", "fr"), "seen": ("de",), "unseen": ("fr",), "reference": ("en",)}
    assert "seen" not in {group.name for group in groups_of(("en", "de"), [])}


def test_groups_by_script_family_and_the_users_own():
    codes = ("en", "de", "ru", "bg", "hi", "bn")
    found = groups_of(codes, own={"far": ["hi", "bn"]})
    assert Group("script Cyrl", "script", ("ru", "bg")) in found
    assert Group("family Indo-Aryan", "family", ("hi", "bn")) in found
    assert found[-1] == Group("far", "own", ("hi", "bn"))
    with pytest.raises(ConfigError, match=r"compare\.groups\.far: th is not compared"):
        groups_of(codes, own={"far": ["th"]})
    with pytest.raises(ConfigError, match="the name is taken"):
        groups_of(codes, own={"all": ["hi"]})


def test_few_items_are_said_to_prove_little():
    rng = np.random.default_rng(0)
    few = compare(
        evaluation({"en": random_hits(rng, 0.5, 24)}), evaluation({"en": random_hits(rng, 0.5, 24)}), config=QUICK
    )
    assert "underpowered" in few.verdict[1].text


def test_undefined_auroc_stays_nan():
    gold = np.zeros(6, dtype=np.int64)
    one = replace(table(np.full((6, 2), -1.0), gold), language="en")
    found = compare(Evaluation(ModelRef("m", None, None, "x"), "t", "english", "x", {"en": one}), Evaluation(ModelRef("m", None, None, "x"), "t", "english", "x", {"en": one}), config=QUICK)  # fmt: skip
    assert math.isnan(found.languages["auroc_delta"][0])
    assert math.isnan(found.languages["calibrated_accuracy_delta"][0])
    assert found.languages["reason"][0] == "no item has the label b"


def test_one_item_is_nan_with_a_reason():
    one = evaluation({"en": np.array([True])})
    found = compare(one, evaluation({"en": np.array([False])}), config=QUICK)
    assert found.languages["accuracy_delta"].tolist() == [-1]
    assert math.isnan(found.languages["accuracy_low"][0])
    assert found.languages["reason"][0]
    assert "no test" in found.verdict[1].text


def test_all_predictions_equal_has_no_auroc_interval_and_no_claim():
    gold = np.arange(40) % 2
    same = Evaluation(ModelRef("m", None, None, "x"), "t", "english", "x", {"en": table(np.full((40, 2), -1.0), gold)})
    found = compare(same, same, config=QUICK)
    assert found.languages["auroc_before"].tolist() == [0.5]
    assert math.isnan(found.languages["auroc_low"][0])
    assert found.languages["verdict"].tolist() == ["underpowered"]
    assert "no interval" in str(found)


def test_an_empty_language_and_ids_that_stand_twice_are_refused():
    rng = np.random.default_rng(0)
    left = evaluation({"en": random_hits(rng, 0.5, 10), "de": random_hits(rng, 0.5, 0)})
    with pytest.raises(DataError, match="before, sentiment de: no items"):
        compare(left, left)
    own = evaluation({"en": random_hits(rng, 0.5, 10)})
    twice = replace(own.scores["en"], example_ids=("i0",) * 2 + own.scores["en"].example_ids[2:])
    with pytest.raises(DataError, match="after, sentiment en: 1 ids stand twice: i0"):
        compare(own, replace(own, scores={"en": twice}))


def test_languages_with_other_items_are_averaged_as_they_are():
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


def test_a_tie_is_no_lost_item():
    """After, every answer ties: an item that was right lost half a hit, one that was wrong gained half."""
    gold = np.arange(40) % 2
    right = evaluation({"en": np.arange(40) % 4 < 2})
    tied = replace(right, scores={"en": table(np.full((40, 2), -1.0), gold)})
    row = compare(right, tied, config=QUICK).languages.iloc[0]
    assert (row["gained"], row["lost"], row["accuracy_delta"]) == (20, 20, 0)
    assert row["holm_p"] == 1
    assert row["verdict"] == "underpowered"


def test_scores_that_are_no_numbers_are_refused():
    own = evaluation({"en": random_hits(np.random.default_rng(0), 0.5, 10)})
    broken = own.scores["en"].logprobs.copy()
    broken[3, 0] = np.nan
    with pytest.raises(DataError, match="after, sentiment en: 1 items have scores that are no numbers: i3"):
        compare(own, replace(own, scores={"en": replace(own.scores["en"], logprobs=broken)}))


def test_prior_repair_and_discrimination_add_up_to_the_change():
    rng = np.random.default_rng(3)
    gold = np.arange(90) % 3
    sides = [
        Evaluation(ModelRef("m", None, None, "x"), "t", "english", "x", {"en": table(rng.normal(-3, 1, (90, 3)) + bias, gold, ("a", "b", "c"))})
        for bias in (np.array([1, 0, 0]), np.zeros(3))
    ]  # fmt: skip
    row = compare(*sides, config=QUICK).languages.iloc[0]
    assert row["prior_repair_delta"] + row["calibrated_accuracy_delta"] == pytest.approx(row["accuracy_delta"])


def test_the_reported_numbers_are_in_the_sentences():
    rng = np.random.default_rng(0)
    left, right = (evaluation({code: random_hits(rng, share) for code in ("en", "de", "th")}) for share in (0.5, 0.6))
    found = compare(left, right, seen=["de"], config=QUICK)
    first = found.verdict[1]
    row = found.groups[(found.groups["group"] == "all") & (found.groups["metric"] == "accuracy")].iloc[0]
    assert first.numbers["low"] == row["low"]
    assert f"{100 * row['low']:+.1f}" in first.text
    assert {sentence.about for sentence in found.verdict} >= {"change", "languages", "split", "guard", "general"}
    assert json.dumps([sentence.numbers for sentence in found.verdict])


def test_the_english_guard_needs_more_than_no_significance():
    same = evaluation({"en": random_hits(np.random.default_rng(0), 0.7, 40)})
    weak = compare(same, same, config=QUICK).guard
    assert not weak.held
    assert not weak.lost
    many = evaluation({"en": random_hits(np.random.default_rng(0), 0.7, 400)})
    assert compare(many, many, config=QUICK).guard.held
    worse = evaluation({"en": many.scores["en"].gold < 0})
    assert compare(many, worse, config=QUICK).guard.lost


def test_tables_read_back_equal(tmp_path):
    rng = np.random.default_rng(0)
    sides = [
        [evaluation({"en": random_hits(rng, share), "de": random_hits(rng, share)}, str(share))] for share in (0.4, 0.6)
    ]
    made = compare_run(open_run(tmp_path / "run"), *sides, seen=["de"], config=QUICK, seed=0)
    read = read_comparisons(tmp_path / "run" / "compare")
    assert read[0].languages.equals(made[0].languages)
    assert read[0].groups.equals(made[0].groups)
    assert (read[0].verdict, read[0].seen) == (made[0].verdict, ("de",))
