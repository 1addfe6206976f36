"""Comparisons from end to end: what is detected, what is undefined, and the stage of a run."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from spillover.core.errors import DataError, RunError
from spillover.core.runs import open_run
from spillover.core.types import Evaluation, ModelRef
from spillover.stages.compare import compare, compare_run
from spillover.stages.compare.stage import compare_arms
from tests.builders import (
    evaluation,
    random_hits,
    table,
    write_evaluation,
)
from tests.stages.compare.builders import (
    QUICK,
    planted_sides,
    runs_of,
)


def test_a_true_gain_is_detected_with_its_sign():
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


def test_the_same_evaluation_twice_is_no_change():
    same = evaluation({"en": random_hits(np.random.default_rng(0), 0.7)})
    found = compare(same, same, config=QUICK)
    assert (found.languages[["accuracy_delta", "calibrated_accuracy_delta", "auroc_delta"]] == 0).all(axis=None)
    assert not any("improved" in sentence.text or "got worse" in sentence.text for sentence in found.verdict)
    assert found.verdict[0].numbers["answer"] == "not shown"


def test_seen_languages_as_one_string():
    same = evaluation({code: random_hits(np.random.default_rng(0), 0.7) for code in ("en", "de", "th")})
    assert compare(same, same, seen="de,th", config=QUICK).seen == ("de", "th")


def test_same_seed_same_numbers():
    rng = np.random.default_rng(0)
    left, right = (evaluation({"en": random_hits(rng, share)}) for share in (0.5, 0.6))
    assert compare(left, right, seed=4).languages.equals(compare(left, right, seed=4).languages)


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


def test_a_placebo_that_gains_as_much_is_not_beaten():
    found = compare_arms(runs_of(("translate", 0, 0.4), ("shuffled", 0, 0.4)), config=QUICK)
    assert found.verdict[0].numbers["answer"] == "improved, but not shown to beat a placebo"
    assert found.verdict[1].text.endswith("improved.")
    said = [sentence for sentence in found.verdict if sentence.about == "placebo"]
    assert len(said) == 3
    assert all("no evidence that translate beats shuffled" in sentence.text for sentence in said)


def test_runs_on_other_items_are_refused_or_restricted_to_the_shared_ones():
    first = runs_of(("translate", 0, 0.4))[0]
    fewer = runs_of(("copy", 0, 0.4), n=150)[0]
    with pytest.raises(DataError, match=r"en: 50 items only in translate-0 \(i150, .*same data, limit and seed"):
        compare_arms([first, fewer], config=QUICK)
    found = compare_arms([first, fewer], config=QUICK.model_copy(update={"missing_items": "intersection"}))
    assert set(found.contrasts["n"]) == {150}
    other = replace(first, arm="copy", before=replace(first.before, task="nli"), after=replace(first.after, task="x"))
    with pytest.raises(DataError, match="cannot compare nli with x"):
        compare_arms([first, other], config=QUICK)


@pytest.fixture
def run(tmp_path):
    """A run with pairs from German, both sides evaluated on two tasks."""
    made = open_run(tmp_path / "run")
    made.update(stages={"build": {"settings": {"arm": "translate"}, "facts": {"languages": ["de"]}}})
    for name, side in zip(("base", "tuned"), planted_sides((1.5, 2.4), (0, 0), n=60), strict=True):
        write_evaluation(made, name, side)
        write_evaluation(made, name, replace(side, task="nli"))
    return made


def test_a_run_is_compared_on_all_its_tasks_with_its_training_languages(run):
    comparisons = compare_run(run, config=QUICK)
    assert [comparison.task for comparison in comparisons] == ["nli", "sentiment"]
    assert {comparison.seen for comparison in comparisons} == {("de",)}
    assert [comparison.task for comparison in compare_run(run, tasks=["nli"], config=QUICK)] == ["nli"]
    assert run.manifest()["stages"]["compare"]["facts"] == {"tasks": ["nli"]}


def test_runs_with_other_label_words_are_no_seeds_of_one_arm(run, tmp_path):
    other = open_run(tmp_path / "other")
    other.update(stages={"build": {"settings": {"arm": "translate"}, "facts": {"languages": ["de"]}}})
    for name, side in zip(("base", "tuned"), planted_sides((1.5, 2.4), (0, 0), n=60), strict=True):
        for task in ("sentiment", "nli"):
            write_evaluation(other, name, replace(side, task=task, label_set="native"))
    found = compare_run(run, tasks=["sentiment"], config=QUICK.model_copy(update={"against": [str(other.path)]}))[0]
    assert found.seeds is None
    assert set(found.contrasts["against"]) == {f"translate ({other.path})"}


def test_a_run_without_one_side_is_refused(run):
    with pytest.raises(RunError, match="no evaluation named 'tuned-2'"):
        compare_run(run, after="tuned-2")
    with pytest.raises(RunError, match="run: given twice"):
        compare_run(run, config=QUICK.model_copy(update={"against": [str(run.path)]}))
    with pytest.raises(RunError, match="no task was evaluated on both sides"):
        compare_run(run, tasks=["copa"])
