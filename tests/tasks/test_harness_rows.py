"""Rows of an exported task: text arrives unchanged, and a row of a log says again which item it is."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spillover.core.errors import DataError
from spillover.core.types import Example
from spillover.tasks.benchmark import open_benchmark
from spillover.tasks.harness_rows import COLUMN, blank_before_answers, harness_rows, row_of_log
from spillover.tasks.prompts import render
from spillover.tasks.wording import load_task
from tests.builders import KIND_DATA, kind_task

TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1) | st.sampled_from(
    ["{{ 7 * 7 }}", "{% raw %}", "!function os.system", "'\"\\", "a\n- b: c", "2020-01-01", "12", "\u2028\x85", "😀"]
)


def rows_of(name, language="en", **options):
    benchmark = open_benchmark(kind_task(name), data=KIND_DATA, **options)
    prompts = benchmark.prompts("english", "own")[language]
    return benchmark.task, prompts, harness_rows(benchmark.task, prompts, label_set="english", shots="own")


@pytest.mark.parametrize("name", ["reading", "agreement", "letters"])
def test_a_row_is_a_prompt_with_its_answers(name):
    task, prompts, rows = rows_of(name)
    blank = blank_before_answers(task)
    assert [(row.prompt, [blank + choice for choice in row.choices]) for row in rows] == [
        (prompt.text, list(prompt.answers)) for prompt in prompts
    ]
    assert [task.labels[row.target] for row in rows] == [prompt.gold for prompt in prompts]
    assert {row.spillover.label_set for row in rows} == {"english" if name == "letters" else task.kind}


def test_a_blank_before_answers_is_scored_with_them():
    assert {name: blank_before_answers(load_task(kind_task(name))) for name in ("reading", "agreement", "letters")} == {
        "reading": " ",
        "agreement": "",
        "letters": "",
    }


@given(review=TEXT, item=TEXT, cluster=st.none() | TEXT)
def test_any_text_survives_the_way_through_a_file_and_a_log(review, item, cluster):
    task = load_task("sentiment")
    (prompt,) = render(task, [Example(item, "en", {"review": review}, "negative", (), cluster)], label_set="english")
    (row,) = harness_rows(task, [prompt], label_set="english", shots="own")
    assert row.prompt == prompt.text
    back = row_of_log(json.loads(json.dumps(row.model_dump(mode="json"), ensure_ascii=False)), "log:1")
    assert back == row
    assert (back.spillover.id, back.spillover.content, back.spillover.cluster) == (item, prompt.content, cluster)


def test_a_prompt_that_ends_in_whitespace_is_refused():
    _, (prompt, *_), _ = rows_of("reading")
    with pytest.raises(DataError, match=r"reading, en, item reading-1: its prompt ends in whitespace \('.*Answer: '\)"):
        harness_rows(
            load_task(kind_task("reading")), [replace(prompt, body=prompt.body + " ")], label_set="", shots="own"
        )


def test_an_item_without_a_label_is_refused():
    _, (prompt, *_), _ = rows_of("reading")
    with pytest.raises(DataError, match="no label"):
        harness_rows(load_task(kind_task("reading")), [replace(prompt, gold=None)], label_set="", shots="own")


@pytest.mark.parametrize("document", [None, "text", {}, {"prompt": "x", "choices": ["a"], "target": 0}])
def test_a_row_of_another_task_is_none_of_ours(document):
    assert row_of_log(document, "log:1") is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"target": 3}, "target 3 of 3 choices"),
        ({"target": -1}, "target -1"),
        ({"prompt": 5}, "prompt: input should be a valid string"),
        ({COLUMN: {}}, "spillover.task: field required"),
        ({"more": 1}, "more: extra inputs are not permitted"),
    ],
)
def test_a_row_that_was_changed_is_refused_with_its_place(change, message):
    _, _, (row, *_) = rows_of("reading")
    with pytest.raises(DataError, match=f"^log:7: doc: .*{message}"):
        row_of_log(row.model_dump(mode="json") | change, "log:7")
