"""Which measure the verdict goes by, what it says of when that was chosen, and that everything follows it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from spillover.core.config import CompareConfig
from spillover.core.declared_measure import Declaration, declare_measure
from spillover.core.runs import open_run
from spillover.stages.compare import compare, compare_run, read_comparisons
from spillover.stages.compare.all_tasks import all_tasks_table, failing_rows
from spillover.stages.compare.contrasts import TrainedRun
from spillover.stages.compare.measures import ACCURACY, AUROC, CALIBRATED
from spillover.stages.compare.pairing import join
from spillover.stages.compare.primary import other_declarations, primary_measure
from spillover.stages.compare.result import Topic
from spillover.stages.compare.stage import compare_arms
from spillover.stats.significance import corrected
from tests.builders import evaluation, random_hits, write_evaluation
from tests.stages.compare.builders import own_answers, planted_sides, runs_of

AUTO = CompareConfig(draws=20)
BY_AUTO = Declaration("auto", None)


def chosen(sides, declared=None, **config):
    return primary_measure(join(*sides), CompareConfig(**config), declared)


@pytest.fixture(scope="module")
def better_ranked():
    """The labels lie further apart afterwards, and a prior hides it from accuracy."""
    return planted_sides((1.2, 1.9), (0, 1.9), n=400)


@pytest.fixture(scope="module")
def by_auroc(better_ranked):
    return compare(*better_ranked, seen=["de"], config=AUTO, declared=BY_AUTO)


def one_class(side, code="th"):
    scores = side.scores[code]
    return replace(side, scores={**side.scores, code: replace(scores, gold=np.zeros_like(scores.gold))})


def test_auto_is_auroc_for_label_words_and_accuracy_for_own_answers_and_bare_outcomes(better_ranked):
    outcomes = [
        replace(side, scores={code: replace(own, outcome=np.zeros(400)) for code, own in side.scores.items()})
        for side in better_ranked
    ]
    choices = [own_answers(np.random.default_rng(seed)) for seed in (0, 1)]
    assert chosen(better_ranked).measure is AUROC
    assert chosen(outcomes).measure is ACCURACY
    assert chosen(choices).measure is ACCURACY
    assert chosen(better_ranked, primary="calibrated").measure is CALIBRATED


def test_it_says_whether_the_measure_was_declared_before_scoring(better_ranked):
    assert chosen(better_ranked).chosen == "chosen after scoring"
    assert chosen(better_ranked, BY_AUTO).chosen == "declared before scoring"
    assert chosen(better_ranked, BY_AUTO, primary="auroc").chosen == "declared before scoring"
    kept = chosen(better_ranked, Declaration("accuracy", None))
    assert (kept.measure, kept.chosen, kept.notes) == (ACCURACY, "declared before scoring", ())
    other = chosen(better_ranked, Declaration("accuracy", None), primary="auroc")
    assert (other.measure, other.chosen) == (AUROC, "chosen after scoring")
    assert "AUROC, was chosen after scoring: the run declares accuracy" in other.notes[0].text


def test_a_fallback_is_taken_only_where_it_was_asked_for(better_ranked):
    sides = [one_class(side) for side in better_ranked]
    assert chosen(sides, BY_AUTO).measure is AUROC
    declared = chosen(sides, Declaration("auto", "accuracy"))
    assert declared.measure is ACCURACY
    assert declared.chosen.startswith(
        "declared before scoring, as the fallback for AUROC, which is undefined in th: no"
    )
    assert chosen(sides, BY_AUTO, fallback="accuracy").chosen.startswith("chosen after scoring, as the fallback")
    assert chosen(better_ranked, Declaration("auto", "accuracy")).measure is AUROC


def test_an_undefined_measure_is_not_tested_and_says_where_and_why(better_ranked):
    found = compare(*(one_class(side) for side in better_ranked), config=AUTO, declared=BY_AUTO)
    numbers = found.verdict[0].numbers
    assert numbers["answer"] == "it cannot be tested"
    assert "AUROC is undefined: no item has the label negative (th)" in numbers["why"][1]
    assert list(found.languages.set_index("language")["verdict"]) == ["improved", "improved", "undefined"]
    choices = [own_answers(np.random.default_rng(seed)) for seed in (0, 1)]
    asked = compare(*choices, config=CompareConfig(draws=20, primary="auroc"))
    assert "AUROC is undefined: not defined for choices" in asked.verdict[0].text


def test_headline_verdict_and_tables_go_by_the_primary_measure(better_ranked, by_auroc):
    head = by_auroc.verdict[0].numbers
    assert (by_auroc.primary, head["answer"]) == ("auroc", "yes")
    assert head["measure"] == "AUROC, declared before scoring"
    assert head["why"][0].startswith("AUROC 0.")
    assert head["why"][1].startswith("secondary: accuracy ")
    assert by_auroc.about(Topic.CHANGE)[0].numbers["metric"] == "auroc"
    assert "secondary: accuracy" in by_auroc.about(Topic.SPLIT)[0].text
    by_accuracy = compare(*better_ranked, seen=["de"], config=CompareConfig(draws=20, primary="accuracy"))
    assert by_accuracy.verdict[0].numbers["answer"] != "yes"
    by_calibrated = compare(*better_ranked, seen=["de"], config=CompareConfig(draws=20, primary="calibrated"))
    assert by_calibrated.verdict[0].numbers["answer"] == "yes"


def test_the_tests_of_the_primary_measure_alone_are_the_corrected_family(by_auroc):
    table = by_auroc.languages
    assert set(table["primary"]) == {"auroc"}
    np.testing.assert_allclose(table["holm_p"], corrected(table["auroc_p"].to_numpy(), "holm"))
    roles = by_auroc.groups.groupby("role")["metric"].unique()
    assert list(roles["primary"]) == ["auroc"]
    assert "auroc" not in roles["secondary"]


def test_a_worse_primary_measure_fails_a_suite_and_a_secondary_one_does_not(better_ranked):
    worse = compare(*better_ranked[::-1], config=AUTO)
    assert len(failing_rows(all_tasks_table([worse], AUTO), "worse"))
    # Accuracy falls under a prior, and AUROC does not.
    biased = planted_sides((1.9, 1.9), (0, 3), n=400)
    for primary, fails in (("accuracy", True), ("auroc", False)):
        config = CompareConfig(draws=20, primary=primary)
        table = all_tasks_table([compare(*biased, config=config)], config)
        assert bool(len(failing_rows(table, "worse"))) is fails
        assert set(table["metric"]) == {primary}


def test_placebo_contrast_and_seeds_go_by_the_primary_measure(better_ranked):
    before, after = better_ranked
    placebo = planted_sides((1.2, 1.2), (0, 0), n=400, seed=1)[1]
    again = planted_sides((1.2, 1.9), (0, 1.9), n=400, seed=2)[1]
    runs = [
        TrainedRun(f"{arm}-{seed}", arm, arm, seed, ("de",), before, side, BY_AUTO)
        for arm, seed, side in (("translate", 0, after), ("translate", 1, again), ("shuffled", 0, placebo))
    ]
    found = compare_arms(runs, config=AUTO)
    assert "translate against shuffled: AUROC +0." in found.about(Topic.PLACEBO)[0].text
    assert "Secondary: accuracy " in found.about(Topic.PLACEBO)[0].text
    assert "over 2 seeds: AUROC +0." in found.about(Topic.SEEDS)[0].text
    assert set(found.contrasts.loc[found.contrasts["role"] == "primary", "metric"]) == {"auroc"}


def test_runs_that_declare_other_measures_are_named():
    first, second = (replace(run, declared=BY_AUTO) for run in runs_of(("real", 0, 0.2), ("copy", 0, 0.1), n=20))
    assert other_declarations([first, second]) == []
    (undeclared,) = other_declarations([first, replace(second, declared=None)])
    assert undeclared.text == (
        "Of the primary measure, copy-0 declared nothing before it was scored and real-0 declared auto."
    )


def test_a_run_is_compared_by_what_it_declared_and_read_back_so(tmp_path):
    run = open_run(tmp_path / "run")
    rng = np.random.default_rng(0)
    sides = [evaluation({code: random_hits(rng, share, 40) for code in ("en", "de")}) for share in (0.5, 0.7)]
    declare_measure(run, CompareConfig(primary="calibrated"))
    for name, side in zip(("base", "tuned"), sides, strict=True):
        write_evaluation(run, name, side)
    (found,) = compare_run(run, config=AUTO)
    (read,) = read_comparisons(run.path / "compare")
    assert (found.primary, found.chosen) == (read.primary, read.chosen) == ("calibrated", "declared before scoring")
    (other,) = compare_run(run, config=CompareConfig(draws=20, primary="accuracy"))
    assert other.chosen == "chosen after scoring"
    assert "the run declares calibrated accuracy" in other.about(Topic.NOTE)[0].text
