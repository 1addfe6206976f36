"""All tasks under one correction: outcomes and order, the correction itself, what makes a suite fail."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from statsmodels.stats.multitest import multipletests

from spillover.core.config import CompareConfig
from spillover.core.runs import open_run
from spillover.stages.compare import compare, compare_run, read_comparisons
from spillover.stages.compare.all_tasks import (
    ALL_TASKS_COLUMNS,
    all_tasks_table,
    failing_rows,
    rows_of_all_tasks,
    suite_result,
    with_all_tasks,
)
from spillover.stages.compare.stage import compare_arms
from tests.builders import evaluation, random_evaluation, random_hits, write_evaluation
from tests.stages.compare.builders import QUICK, runs_of

CODES = ("en", "de", "fr", "ru", "bg", "th")


def sides_of(task, *, gain=0.0, loss=0.0, n=150, codes=CODES, seed=0):
    """Two evaluations: some of the wrong items become right, some of the right ones wrong."""
    rng = np.random.default_rng(seed)
    before = {code: random_hits(rng, 0.6, n) for code in codes}
    after = {code: (hits | (rng.random(n) < gain)) & ~(rng.random(n) < loss) for code, hits in before.items()}
    return tuple(replace(evaluation(right), task=task) for right in (before, after))


def compared(*sides, seen=("de",), config=QUICK):
    return [compare(*pair, seen=seen, config=config) for pair in sides]


@pytest.fixture(scope="module")
def suite():
    """One task improved, one broke, and one flipped as many items in both directions."""
    return compared(
        sides_of("sentiment", gain=0.4),
        sides_of("nli", loss=0.25, seed=1),
        sides_of("copa", gain=0.1, loss=0.07, seed=2),
    )


@pytest.fixture(scope="module")
def table(suite):
    return all_tasks_table(suite, QUICK)


def test_each_task_has_its_outcome_and_what_got_worse_comes_first(table):
    groups = table[table["kind"] != "language"]
    general = groups[groups["group"] == "all"].set_index("task")["verdict"].to_dict()
    assert general.pop("copa") in ("no evidence", "underpowered")
    assert general == {"sentiment": "improved", "nli": "got worse"}
    worse = table["verdict"] == "got worse"
    assert worse.tolist() == sorted(worse, reverse=True)
    assert set(table[worse]["task"]) == {"nli"}
    for _, rows in table.groupby("verdict"):
        assert rows["holm_p"].is_monotonic_increasing
    assert groups[groups["headline"]]["group"].tolist() == ["unseen"] * 3


def test_groups_are_corrected_over_all_tasks_as_statsmodels_does(suite, table):
    groups = table[table["kind"] != "language"]
    tests = groups.drop_duplicates(["task", "codes"])
    assert len(tests) < len(groups)  # Cyrillic and Slavic are the same languages
    expected = multipletests(tests["p"], method="holm")[1]
    np.testing.assert_allclose(tests["holm_p"], expected, rtol=1e-12)
    names = ["task", "group"]
    once = tests.set_index(["task", "codes"])["holm_p"]
    for row in groups.itertuples():
        assert row.holm_p == once[row.task, row.codes]
    own = {
        (one.task, row.group): row for one in suite for row in one.group_changes("accuracy", set(one.groups["kind"]))
    }
    assert {tuple(row) for row in groups[names].to_numpy()} == set(own)
    assert all(row.p == own[row.task, row.group].p for row in groups.itertuples())


def test_single_languages_are_corrected_over_all_tasks_and_those_that_changed_are_rows(suite, table):
    places = [(one.task, change.language) for one in suite for change in one.language_changes()]
    p = [change.p for one in suite for change in one.language_changes()]
    expected = dict(zip(places, multipletests(p, method="holm")[1], strict=True))
    rows = table[table["kind"] == "language"]
    found = {(row.task, row.group): row.holm_p for row in rows.itertuples()}
    assert found == pytest.approx({place: value for place, value in expected.items() if value < 0.05}, rel=1e-12)
    assert 0 < len(found) < len(places)


def test_the_minimum_detectable_change_is_that_of_the_first_step(suite, table):
    groups = table[table["kind"] != "language"]
    n_tests = len(groups.drop_duplicates(["task", "codes"]))
    strict = compared(sides_of("nli", loss=0.25, seed=1), config=CompareConfig(draws=50, level=1 - 0.05 / n_tests))[0]
    for row in groups[groups["task"] == "nli"].itertuples():
        assert row.detectable == pytest.approx(strict.group_change(row.group, "accuracy").detectable)


def test_a_change_that_is_significant_alone_is_not_among_many():
    weak = sides_of("nli", gain=0.2, n=80, codes=("und",))
    many = [sides_of(f"task-{i}", gain=0.05, loss=0.03, n=80, codes=("und",), seed=10 + i) for i in range(20)]
    alone, among = (all_tasks_table(compared(*sides, seen=()), QUICK) for sides in ([weak], [weak, *many]))
    assert alone["verdict"].tolist() == ["improved"]
    assert among.set_index("task")["verdict"]["nli"] == "underpowered"
    assert len(among) == 21  # the one language of a task is its group of all


def test_what_makes_a_suite_fail(suite, table):
    assert set(failing_rows(table, "worse")["verdict"]) == {"got worse"}
    assert failing_rows(table, "not-shown").equals(failing_rows(table, "worse"))
    improved, broke, kept = suite
    only_improved = all_tasks_table([improved, kept], QUICK)
    for fail_on in ("worse", "not-shown"):
        assert failing_rows(only_improved, fail_on).empty
    not_shown = all_tasks_table([kept], QUICK)
    assert failing_rows(not_shown, "worse").empty
    assert failing_rows(not_shown, "not-shown")["group"].tolist() == ["unseen"]
    both = failing_rows(all_tasks_table([broke, kept], QUICK), "not-shown")
    assert {(row.task, row.group) for row in both.itertuples() if row.headline} == {
        ("nli", "unseen"),
        ("copa", "unseen"),
    }


def test_the_result_names_the_rows(suite, table):
    improved, broke, kept = suite
    text = suite_result(table, "worse")
    assert text.startswith("--fail-on worse: failed; got worse: nli ")
    assert text.endswith(" more")
    assert "copa" not in text
    text = suite_result(all_tasks_table([broke, kept], QUICK), "not-shown")
    assert "; not shown to improve: copa unseen " in text
    assert "nli unseen" not in text.split("not shown to improve")[1]
    text = suite_result(all_tasks_table([improved, kept], QUICK), "not-shown")
    assert text.startswith("--fail-on not-shown: passed; none of ")
    assert " in 2 tasks, " in text
    assert "; improved: sentiment unseen +" in text


def test_a_suite_that_passes_says_how_many_groups_could_not_have_failed(suite):
    table = all_tasks_table([suite[2]], QUICK)
    weak, strong = (suite_result(table.assign(verdict=word), "worse") for word in ("underpowered", "no evidence"))
    text = f"passed; none of {len(table)} groups in 1 task, and no single language, is shown to be worse"
    assert strong == f"--fail-on worse: {text}"
    assert weak == f"{strong}, {len(table)} of the groups being underpowered or undefined"


def test_one_item_is_undefined_and_no_improvement():
    (one,) = compared(sides_of("nli", n=1))
    table = all_tasks_table([one], QUICK)
    assert set(table["verdict"]) == {"undefined"}
    assert table["holm_p"].isna().all()
    assert failing_rows(table, "worse").empty
    assert "not shown to improve: nli unseen" in suite_result(table, "not-shown")


def test_seeds_of_the_first_arm_are_pooled():
    runs = runs_of(("translate", 0, 0.4), ("translate", 1, 0.3), ("copy", 0, 0.1), ("copy", 1, 0.1))
    comparison = compare_arms(runs, config=QUICK)
    pooled = comparison.seeds[(comparison.seeds["arm"] == "translate") & (comparison.seeds["metric"] == "accuracy")]
    table = all_tasks_table([comparison], QUICK)
    table = table[table["kind"] != "language"].set_index("group")
    for row in pooled.itertuples():
        assert (table.loc[row.group, "delta"], table.loc[row.group, "p"]) == (row.delta, row.p)
    assert set(table["seeds"]) == {2}


def test_a_run_of_several_tasks_has_the_table_in_its_folder_and_of_one_task_has_none(tmp_path):
    run = open_run(tmp_path / "run")
    run.update()
    for task, changes in {"sentiment": {"gain": 0.4}, "nli": {"loss": 0.25}}.items():
        for name, side in zip(("base", "tuned"), sides_of(task, n=60, **changes), strict=True):
            write_evaluation(run, name, side)
    written = compare_run(run, seen=["de"], config=QUICK)
    table = rows_of_all_tasks(written)
    assert table.equals(all_tasks_table(written, QUICK)[table.columns])
    assert set(table.columns) == {"task", *(column.name for column in ALL_TASKS_COLUMNS)}
    assert rows_of_all_tasks(read_comparisons(run.path / "compare")).equals(table)
    (one,) = compare_run(run, tasks=["nli"], seen=["de"], config=QUICK)
    assert one.all_tasks is None
    assert rows_of_all_tasks([one]) is None
    assert with_all_tasks([one], QUICK) == [one]
    assert not (run.path / "compare" / "all_tasks.parquet").exists()


@pytest.mark.slow
def test_without_a_true_change_a_suite_seldom_fails():
    rng, config, failed, suites = np.random.default_rng(0), CompareConfig(draws=2), 0, 300
    for _ in range(suites):
        sides = []
        for task in ("sentiment", "nli", "copa"):
            sides.append([replace(random_evaluation(rng, CODES[:4], 60), task=task) for _ in range(2)])
        failed += not failing_rows(all_tasks_table(compared(*sides, config=config), config), "worse").empty
    print(f"{failed} of {suites} suites failed")
    assert failed / suites <= 0.05
