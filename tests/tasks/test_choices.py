"""Bad input to tasks whose items bring their own answers: one message with place and cure."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from spillover.core.errors import ConfigError, DataError
from spillover.tasks.benchmark import open_benchmark
from spillover.tasks.choices import choices_of, cluster_of
from spillover.tasks.examples import load_parallel, read_examples, read_rows, write_examples
from spillover.tasks.wording import load_task
from tests.builders import KIND_DATA, KINDS, kind_task, write_rows

ITEM = {"id": "a", "passage": "p", "question": "q", "choices": ["yes", "no"], "label": 0}
PAIR = {"id": "a", "choices": ["They are here.", "They is here."], "label": 0}


def examples(tmp_path, task, *rows):
    return read_examples(write_rows(tmp_path / "en.jsonl", list(rows)), load_task(kind_task(task)), "en")


@pytest.mark.parametrize(
    ("task", "changes", "message", "cure"),
    [
        ("reading", {"choices": ["yes"]}, "1 choice; an item has from 2 to 10", "leave the item out"),
        ("reading", {"choices": list("abcdefghijk")}, "11 choices; an item has from 2 to 10", "leave the item out"),
        ("reading", {"choices": ["yes", "no", "yes"]}, "choices 0 and 2 are equal: 'yes'", "leave the item out"),
        ("reading", {"choices": ["yes", ""]}, "choice 1 is empty", "strip it"),
        ("reading", {"choices": ["yes", " no"]}, "choice 1 is empty, or has leading .*: ' no'", "strip it"),
        ("reading", {"choices": "yes"}, "choices is not a list of texts", '"choices": '),
        ("reading", {"choices": [1, 2]}, "choices is not a list of texts", '"choices": '),
        ("reading", {"label": 2}, "label '2' is not the index of one of its 2 choices", "indices count from 0"),
        ("reading", {"label": -1}, "label '-1' is not the index", "indices count from 0"),
        ("reading", {"label": "yes"}, "label 'yes' is not the index", "indices count from 0"),
        ("reading", {"choices": None}, "no choices, but task reading is of kind choices", '"choices": '),
        ("reading", {"cluster": 1.5}, "cluster 1.5 is neither text nor a whole number", "write it as text"),
        ("reading", {"question": ""}, "no question", "in every row"),
        ("agreement", {"choices": ["They are here.", ""]}, "choice 1 is empty", "strip it"),
        ("agreement", {"choices": ["a", "b", "c"]}, "3 choices, but a pair is two texts", "`kind: choices`"),
        ("agreement", {"choices": None, "label": None}, "no choices, but task agreement is of kind pairs", "choice0"),
        ("letters", {"a": "x", "b": "y", "label": "A"}, "has choices, but task letters is of kind labels", "`kind: "),
    ],
)
def test_bad_rows_are_one_message_with_place_and_cure(tmp_path, task, changes, message, cure):
    row = (PAIR if task == "agreement" else ITEM) | changes
    row = {key: value for key, value in row.items() if value is not None}
    with pytest.raises(DataError, match=f"en.jsonl:1: {message}") as error:
        examples(tmp_path, task, row)
    assert cure in error.value.hint
    assert "\n" not in error.value.message


def test_a_question_beside_a_pair_is_not_passed_over_in_silence(tmp_path, caplog):
    """Choices under a task of pairs would be scored without their question."""
    row = {"id": "a", "question": "Where?", "choices": ["here", "there"], "label": 0, "n": 3}
    examples(tmp_path, "agreement", row)
    assert "en.jsonl: a pair is two texts alone: not read: question. " in caplog.text
    caplog.clear()
    examples(tmp_path / "plain", "agreement", PAIR)
    assert not caplog.records


def test_a_code_that_the_task_does_not_know_is_refused(tmp_path):
    row = {"id": "a", "premise": "p", "question": "why", "choices": ["yes", "no"], "label": 0}
    with pytest.raises(DataError, match=r"en.jsonl:1: question 'why' is not one of cause, effect"):
        read_examples(write_rows(tmp_path / "en.jsonl", [row]), load_task("copa"), "en")


def test_a_fixed_number_of_choices_is_held_to(tmp_path):
    folder = shutil.copytree(KINDS / "tasks" / "reading", tmp_path / "reading")
    text = (folder / "task.yaml").read_text(encoding="utf-8")
    (folder / "task.yaml").write_text(text + "choices: 3\n", encoding="utf-8")
    task = load_task(str(folder))
    assert task.labels == ("0", "1", "2")
    with pytest.raises(DataError, match=r"en.jsonl:1: 2 choices, but task reading has 3"):
        read_examples(write_rows(tmp_path / "en.jsonl", [ITEM]), task, "en")


def test_a_cluster_that_some_rows_lack_is_named(tmp_path):
    rows = [ITEM | {"id": str(i)} | ({"cluster": "text-1"} if i != 1 else {}) for i in range(3)]
    with pytest.raises(DataError, match=r"en.jsonl:2: no cluster; 2 of 3 rows have one"):
        examples(tmp_path, "reading", *rows)


def test_numbers_of_choices_and_clusters_are_the_same_in_every_language(tmp_path):
    task = load_task(kind_task("reading"))
    for code, row in (
        ("en", ITEM | {"cluster": "t1"}),
        ("de", ITEM | {"choices": ["ja", "nein", "kaum"], "cluster": "t1"}),
    ):
        write_rows(tmp_path / "reading" / "test" / f"{code}.jsonl", [row])
    with pytest.raises(DataError) as error:
        load_parallel(str(tmp_path), task, "test", ["en", "de"])
    assert "de.jsonl: 1 numbers of choices differ from en.jsonl's: a (3, not 2)" in error.value.message
    write_rows(tmp_path / "reading" / "test" / "de.jsonl", [ITEM | {"cluster": "t2"}])
    with pytest.raises(DataError, match=r"de.jsonl: 1 clusters differ from en.jsonl's: a \(t2, not t1\)"):
        load_parallel(str(tmp_path), task, "test", ["en", "de"])


def test_the_right_answer_is_the_same_in_every_language(tmp_path):
    task = load_task(kind_task("reading"))
    for code, label in (("en", 0), ("de", 1)):
        write_rows(tmp_path / "reading" / "test" / f"{code}.jsonl", [ITEM | {"label": label}])
    with pytest.raises(DataError, match="1 labels differ from the other languages': a"):
        load_parallel(str(tmp_path), task, "test", ["en", "de"])


def test_bare_questions_need_no_choices(tmp_path):
    bare = {key: ITEM[key] for key in ("id", "passage", "question")}
    (example,) = examples(tmp_path, "reading", bare)
    assert example.choices == ()
    assert example.label is None


def test_choices_stand_in_columns_of_a_table(tmp_path):
    path = tmp_path / "en.csv"
    path.write_text("id,passage,question,choice0,choice1,choice2,label,cluster\n1,p,q,yes,no,,1,7\n", encoding="utf-8")
    (example,) = read_examples(path, load_task(kind_task("reading")), "en")
    assert example.choices == ("yes", "no")
    assert example.label == "1"
    assert example.cluster == "7"
    with pytest.raises(DataError, match="choice1 is empty, and a later one is not"):
        choices_of("en.csv:2", {"choice0": "yes", "choice1": "", "choice2": "no"})


def test_examples_are_written_as_they_were_read(tmp_path):
    task = load_task(kind_task("reading"))
    path = Path(KIND_DATA) / "reading" / "test" / "de.jsonl"
    written = tmp_path / "de.jsonl"
    write_examples(written, read_examples(path, task, "de"))
    assert read_examples(written, task, "de") == read_examples(path, task, "de")
    assert read_rows(written, task, "de") == read_rows(path, task, "de")


def test_an_empty_cluster_is_none():
    assert cluster_of("x:1", {"cluster": " "}) is None
    assert cluster_of("x:1", {"cluster": 0}) == "0"


@pytest.mark.parametrize(
    ("task", "extra", "message"),
    [
        ("reading", "labels: [a, b]", "labels: a task of kind choices has none: each item brings its own answers"),
        ("reading", "choices: 1", "choices: 1; an item has from 2 to 10"),
        ("agreement", "template: '{a}'", "template: a task of kind pairs has none: two whole texts are compared"),
        ("agreement", "shots: [a]", "shots: a task of kind pairs has none"),
        ("letters", "choices: 2", "choices: a task of kind labels has none: its answers are the labels"),
    ],
)
def test_keys_that_a_kind_does_not_have_are_mistakes(tmp_path, task, extra, message):
    folder = shutil.copytree(KINDS / "tasks" / task, tmp_path / task)
    text = (folder / "task.yaml").read_text(encoding="utf-8")
    (folder / "task.yaml").write_text(f"{text}{extra}\n", encoding="utf-8")
    with pytest.raises(DataError) as error:
        load_task(str(folder))
    assert f"{folder / 'task.yaml'}: {message}" in error.value.message


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        ("task.yaml", ": {choice}", ":", "template: {choice}, where an item's answer is put, must stand in it once"),
        ("task.yaml", "{question}\n", "{question} {choice}\n", "template: {choice}"),
        ("task.yaml", "[reading-shot-1]", "{reading-shot-1: '0'}", "shots: a list of ids"),
        ("task.yaml", "kind: choices", "kind: pairs", "fields: a task of kind pairs has none"),
        ("task.yaml", "kind: choices", "kind: labels", "labels: at least two different ones"),
        ("task.yaml", "kind: choices", "kind: generate", "kind: Input should be 'labels', 'choices' or 'pairs'"),
        ("task.yaml", "length: byte", "length: word", "length: Input should be 'sum', 'token' or 'byte'"),
        ("task.yaml", "fields: [passage, question]", "fields: []", "fields: none"),
        ("en.yaml", "    choice: at six\n", "", "shots: reading-shot-1: expected the fields passage, question, choice"),
        ("en.yaml", "shots:", "labels: {a: b}\nshots:", "labels: a task of kind choices has none"),
    ],
)
def test_mistakes_in_a_task_folder_are_named(tmp_path, file, old, new, message):
    folder = shutil.copytree(KINDS / "tasks" / "reading", tmp_path / "reading")
    text = (folder / file).read_text(encoding="utf-8")
    assert old in text
    (folder / file).write_text(text.replace(old, new), encoding="utf-8")
    with pytest.raises(DataError) as error:
        load_task(str(folder))
    assert message in error.value.message


def test_pairs_have_every_language_of_their_data():
    benchmark = open_benchmark(kind_task("agreement"), data=KIND_DATA)
    assert benchmark.languages == ("en", "de", "es")
    assert benchmark.task.labels == ("0", "1")
    benchmark.check_labels("native")


def test_pairs_have_no_training_questions():
    benchmark = open_benchmark(kind_task("agreement"), data=KIND_DATA)
    with pytest.raises(ConfigError, match="not defined for pairs: they have no question"):
        benchmark.select_training("all", where="build.languages")


def test_task_folders_are_read():
    reading = load_task(kind_task("reading"))
    assert (reading.kind, reading.length, reading.choices) == ("choices", "byte", None)
    assert reading.labels == tuple("0123456789")
    assert json.loads(json.dumps(reading.shots)) == {"reading-shot-1": ""}
    letters = load_task(kind_task("letters"))
    assert (letters.kind, letters.length, letters.choices) == ("labels", "sum", None)
