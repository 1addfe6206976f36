"""Contracts 6 and 7: ids line up, and labels agree across languages, or nothing is loaded."""

from __future__ import annotations

import pytest

from spillover.core.errors import DataError
from spillover.tasks.examples import language_files, load_parallel, read_examples, write_examples
from spillover.tasks.wording import load_task
from tests.builders import small_data, write_rows

ROW = {"id": "a", "review": "fine", "label": "positive"}


def load(folder, languages=("en", "de"), **options):
    return load_parallel(str(folder), load_task("sentiment"), "test", languages, **options)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([ROW | {"label": "good"}], "en.jsonl:1: label 'good' is not one of positive, negative"),
        ([ROW, ROW], "en.jsonl:2: duplicate id 'a', first on line 1"),
        ([ROW | {"review": " "}], "en.jsonl:1: no review"),
        ([{"id": "a", "label": "positive"}], "en.jsonl:1: no review"),
        ([{"review": "x"}], "en.jsonl:1: no id"),
    ],
)
def test_a_bad_row_is_named_with_its_line(tmp_path, rows, message):
    path = write_rows(tmp_path / "en.jsonl", rows)
    with pytest.raises(DataError, match=message):
        read_examples(path, load_task("sentiment"), "en")


def test_csv_and_json_lines_say_the_same(tmp_path):
    (tmp_path / "en.csv").write_text('id,review,label\na,"It broke, twice",negative\nb,"Two\nlines",positive\n')
    examples = read_examples(tmp_path / "en.csv", load_task("sentiment"), "en")
    write_examples(tmp_path / "en.jsonl", examples)
    assert read_examples(tmp_path / "en.jsonl", load_task("sentiment"), "en") == examples
    assert examples[1].fields["review"] == "Two\nlines"


@pytest.mark.parametrize(("text", "message"), [("", "empty"), ("id,review\na,b,c\n", "en.csv:2")])
def test_a_broken_csv_is_named(tmp_path, text, message):
    (tmp_path / "en.csv").write_text(text)
    with pytest.raises(DataError, match=message):
        read_examples(tmp_path / "en.csv", load_task("sentiment"), "en")


def test_missing_items_are_counted_and_named(tmp_path):
    folder = small_data(tmp_path)
    path = folder / "sentiment" / "test" / "de.jsonl"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[2:]))
    with pytest.raises(DataError, match=r"de\.jsonl: lacks 2 items: item-0, item-1"):
        load(folder)
    both = load(folder, missing_items="intersection")
    assert [row.id for row in both["en"]] == [row.id for row in both["de"]] == [f"item-{i}" for i in range(2, 6)]


def test_labels_that_disagree_are_refused_unless_kept(tmp_path):
    folder = small_data(tmp_path)
    path = folder / "sentiment" / "test" / "de.jsonl"
    path.write_text(path.read_text().replace("negative", "x").replace("positive", "negative").replace("x", "positive"))
    with pytest.raises(DataError, match=r"6 labels differ"):
        load(folder, ("en", "es", "de"))
    assert load(folder, ("en", "es", "de"), disagreeing_labels="keep")["de"][0].label == "negative"


def test_limit_draws_the_same_balanced_items_for_all_languages(tmp_path):
    folder = small_data(tmp_path, items=20)
    drawn = load(folder, limit=6, seed=3)
    assert [row.id for row in drawn["en"]] == [row.id for row in drawn["de"]]
    assert [row.label for row in drawn["en"]].count("positive") == 3
    assert drawn == load(folder, limit=6, seed=3)
    assert drawn != load(folder, limit=6, seed=4)


def test_a_language_without_a_file_is_named(tmp_path):
    with pytest.raises(DataError, match="no file for fr"):
        load(small_data(tmp_path), ("en", "fr"))


def test_files_come_in_the_order_of_languages(tmp_path):
    folder = small_data(tmp_path, ("sw", "en", "sr"))
    assert list(language_files(str(folder), load_task("sentiment"), "test")) == ["en", "sw", "sr"]


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(DataError, match="does not exist"):
        load(tmp_path / "nowhere")
