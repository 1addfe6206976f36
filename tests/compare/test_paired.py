"""Intervals and tests against scipy and statsmodels, and by simulation: no change must mostly be called none."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import bootstrap
from statsmodels.stats.contingency_tables import mcnemar as reference_mcnemar

from spillover.compare.groups import groups_of
from spillover.compare.paired import bootstrap_means, compare, interval, mcnemar
from spillover.compare.run import compare_run, read_comparisons
from spillover.core.config import CompareConfig
from spillover.core.errors import DataError
from spillover.core.runs import open_run
from spillover.core.types import Evaluation, ModelRef
from tests.evaluate.test_summary import table

QUICK = CompareConfig(draws=300)


def evaluation(right, key="k"):
    """right: {language: [n] booleans}: which items the model gets right, with margins that differ."""
    scores = {}
    for code, hits in right.items():
        gold = np.arange(len(hits)) % 2
        logprobs = np.full((len(hits), 2), -2.0)
        chosen = np.where(hits, gold, 1 - gold)
        logprobs[np.arange(len(hits)), chosen] = -1 - np.arange(len(hits)) / len(hits) / 10
        scores[code] = replace(table(logprobs, gold), language=code)
    return Evaluation(ModelRef("m", None, None, key), "sentiment", "english", key, scores)


def random_hits(rng, share, n=100):
    return rng.random(n) < share


@pytest.mark.parametrize(("gained", "lost"), [(0, 0), (5, 0), (3, 9), (20, 20), (40, 22)])
def test_mcnemar_equals_statsmodels(gained, lost):
    expected = 1.0 if gained + lost == 0 else reference_mcnemar([[10, gained], [lost, 10]], exact=True).pvalue
    assert mcnemar(gained, lost) == pytest.approx(expected)


def test_bootstrap_interval_equals_scipys():
    values = np.random.default_rng(0).choice([-1.0, 0.0, 1.0], p=[0.1, 0.6, 0.3], size=200)
    ours = interval(bootstrap_means(values, draws=20_000, rng=np.random.default_rng(1)), 0.95)
    theirs = bootstrap((values,), np.mean, n_resamples=20_000, method="percentile", rng=np.random.default_rng(2))
    np.testing.assert_allclose(ours, (theirs.confidence_interval.low, theirs.confidence_interval.high), atol=0.006)


def test_empty_bootstrap_is_nan():
    assert np.isnan(bootstrap_means(np.array([]), draws=3, rng=np.random.default_rng(0))).all()


def test_coverage_of_no_change_by_simulation():
    """With no true difference, the 95 % interval of a mean over languages holds zero about 95 times in 100, also when an
    item is as hard in every language: whole items are resampled."""
    held = []
    for seed in range(1000):
        rng = np.random.default_rng(seed)
        hard = rng.random(60)
        before, after = (rng.random((3, 60)) < hard for _ in range(2))
        means = (after.astype(float) - before).mean(axis=0)
        low, high = interval(bootstrap_means(means, draws=300, rng=rng), 0.95)
        held.append(low <= 0 <= high)
    assert 0.92 <= np.mean(held) <= 0.97


def test_a_true_gain_is_found_and_signed():
    rng = np.random.default_rng(0)
    before = {code: random_hits(rng, 0.5) for code in ("en", "de")}
    after = {code: hits | (rng.random(100) < 0.5) for code, hits in before.items()}
    found = compare(evaluation(before), evaluation(after), seen=["de"], config=QUICK)
    assert (found.languages["accuracy_delta"] > 0.1).all()
    assert (found.languages["lost"] == 0).all()
    assert (found.languages["holm_p"] < 0.01).all()
    assert "a gain" in found.verdict[0]
    assert (found.languages["holm_p"] >= found.languages["mcnemar_p"]).all()


def test_same_evaluation_twice_is_no_change_at_all():
    same = evaluation({"en": random_hits(np.random.default_rng(0), 0.7)})
    found = compare(same, same, config=QUICK)
    assert (found.languages[["accuracy_delta", "calibrated_accuracy_delta", "auroc_delta"]] == 0).all(axis=None)
    assert "not told from no change" in found.verdict[0]


def test_same_seed_same_numbers():
    rng = np.random.default_rng(0)
    left, right = (evaluation({"en": random_hits(rng, share)}) for share in (0.5, 0.6))
    assert compare(left, right, seed=4).languages.equals(compare(left, right, seed=4).languages)


def test_items_on_one_side_alone_are_refused_or_left_out():
    rng = np.random.default_rng(0)
    left, right = (evaluation({"en": random_hits(rng, 0.5, n)}) for n in (10, 8))
    with pytest.raises(DataError, match="en: 2 items stand on one side alone: i8, i9"):
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
    with pytest.raises(DataError, match="only one side has de"):
        compare(left, replace(left, scores={"en": left.scores["en"]}))
    with pytest.raises(DataError, match="cannot compare sentiment with nli"):
        compare(left, replace(left, task="nli"))
    other = {code: replace(scores, gold=1 - scores.gold) for code, scores in left.scores.items()}
    with pytest.raises(DataError, match="gold labels differ"):
        compare(left, replace(left, scores=other))


def test_groups_come_from_what_was_trained_on():
    assert groups_of(("en", "de"), ["de"]) == {"all": ("en", "de"), "seen": ("de",), "unseen": ("en",)}
    assert groups_of(("en", "de"), []) == {"all": ("en", "de")}


def test_few_items_are_said_to_prove_little():
    rng = np.random.default_rng(0)
    few = compare(
        evaluation({"en": random_hits(rng, 0.5, 24)}), evaluation({"en": random_hits(rng, 0.5, 24)}), config=QUICK
    )
    assert "24 items a language prove little" in few.verdict[-1]


def test_undefined_auroc_stays_nan():
    gold = np.zeros(6, dtype=np.int64)
    one = replace(table(np.full((6, 2), -1.0), gold), language="en")
    found = compare(Evaluation(ModelRef("m", None, None, "x"), "t", "english", "x", {"en": one}), Evaluation(ModelRef("m", None, None, "x"), "t", "english", "x", {"en": one}), config=QUICK)  # fmt: skip
    assert math.isnan(found.languages["auroc_delta"][0])


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
