from __future__ import annotations

from pathlib import Path

import pytest

from spillover.core.config import AlternativesConfig, load_config
from spillover.core.errors import ConfigError
from spillover.stages.alternatives.rows import RowKind, planned_rows
from spillover.tasks.benchmark import benchmark_of, open_benchmark


@pytest.fixture(scope="module")
def benchmark():
    return open_benchmark("sentiment", languages="en,de")


def planned(benchmark, *names, shots="own", **options):
    config = AlternativesConfig(rows=list(names), **options)
    return {row.name: row for row in planned_rows(config, [benchmark], shots, "own/adapter")}


def test_the_base_with_and_without_calibration_is_always_there(benchmark):
    rows = planned(benchmark, "bound", "calibrated")
    assert [(row.name, row.kind.value, row.evaluation) for row in rows.values()] == [
        ("base", "reference", "base"),
        ("calibrated", "reference", "base"),
        ("bound", "bound", "base"),
    ]


def test_shots_stand_beside_the_same_shots_behind_unrelated_sentences_and_a_null_of_two_rows_is_made_once(benchmark):
    rows = planned(benchmark, "shots:mixed", "shots:en", "shots:fr")
    assert rows["shots:en+unrelated"].null_of == ("shots:mixed", "shots:en")
    assert rows["shots:fr+unrelated"].null_of == ("shots:fr",)
    assert {row.name: (row.shots, row.evaluation) for row in rows.values() if row.shots}["shots:en+unrelated"] == (
        "en+unrelated",
        "shots-en-unrelated",
    )
    assert not any(row.trained for row in rows.values())


def test_rows_that_translate_stand_beside_the_bound_and_translations_of_other_items(benchmark):
    rows = planned(benchmark, "self-translate", "translate-test", translator={"command": ["translate"]})
    assert list(rows) == [
        "base", "calibrated", "bound", "self-translate", "self-translate shuffled", "translate-test",
        "translate-test shuffled",
    ]  # fmt: skip
    assert {(row.shots, row.kind.value) for row in rows.values() if row.translations} == {
        ("en", "free"),
        ("en", "null"),
    }
    assert [row.null_of for row in rows.values() if row.shuffled] == [("self-translate",), ("translate-test",)]
    assert not any(row.reason or row.trained for row in rows.values())
    german = open_benchmark("sentiment", languages="de")
    assert "bound" not in planned(german, "self-translate")


def test_translate_test_without_a_translator_says_what_it_needs(benchmark):
    rows = planned(benchmark, "self-translate", "translate-test")
    assert list(rows)[-1] == "translate-test"
    reason = "needs a translator: one of seq2seq, server, causal, command in alternatives.translator"
    assert rows["translate-test"].reason == reason
    assert not rows["self-translate"].reason


def test_layers_and_tuned_stand_beside_each_placebo_arm(benchmark):
    rows = planned(benchmark, "tuned", "layers:outer", placebos={"shuffled": "p"})
    assert {row.name: (row.adapter, row.layers, row.null_of) for row in rows.values() if row.adapter} == {
        "tuned": ("own/adapter", None, ()),
        "shuffled": ("p", None, ("tuned",)),
        "layers:outer": ("own/adapter", "outer", ()),
        "shuffled layers:outer": ("p", "outer", ("layers:outer",)),
    }
    assert planned(benchmark, "tuned", adapter="mine")["tuned"].adapter == "mine"


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["nonsense"], "alternatives.rows: nonsense: unknown row"),
        (["steer:clas"], "steer:clas: unknown method, of mean-shift"),
        (["shots:"], "shots:: unknown row"),
        (["bound", "bound"], "bound: given twice"),
        (["shots:own"], "shots:own: the base's shots are the same (own) on sentiment"),
        (["shots:xx"], "shots:xx"),
        (["shots:en+unrelated"], "it is a null"),
        ([], "alternatives.rows: no rows"),
    ],
)
def test_a_row_that_cannot_be_is_one_line(benchmark, names, message):
    with pytest.raises(ConfigError) as error:
        planned(benchmark, *names)
    assert message in error.value.message
    assert "\n" not in error.value.message
    assert "shots:FORM" in error.value.hint


def test_every_mistake_is_said_at_once(benchmark):
    with pytest.raises(ConfigError) as error:
        planned(benchmark, "nonsense", "steer:clas", placebos={"base": "p", "a b": "p"})
    assert len(error.value.problems) == 5


def test_the_bound_needs_the_reference_language():
    with pytest.raises(ConfigError, match="not scored in en, which the bound needs"):
        planned(open_benchmark("sentiment", languages="de"), "bound")


def test_free_and_trained_rows_are_tested_and_a_bound_never_is():
    assert [kind.value for kind in RowKind if kind.tested] == ["free", "trained"]


def test_the_example_has_rows_of_every_free_form():
    config = load_config(Path(__file__).parents[3] / "examples" / "alternatives.yaml")
    rows = planned_rows(config.alternatives, [benchmark_of(config)], config.evaluate.shots, "")
    forms = {row.name.partition(":")[0] for row in rows if row.kind.tested or row.kind is RowKind.BOUND}
    assert forms == {"bound", "shots", "self-translate", "steer"}
