"""Contracts 6 and 7: ids line up, and labels agree across languages, or nothing is loaded."""

from __future__ import annotations

import logging

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


def test_a_table_in_place_of_a_folder_is_named(tmp_path):
    table = tmp_path / "reviews.csv"
    table.write_text("id,review,label\n1,good,positive\n")
    with pytest.raises(DataError, match=r"reviews\.csv' is a file: expected a folder with <task>/") as error:
        language_files(str(table), load_task("sentiment"), "test")
    assert "spillover import hub" in error.value.hint


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(DataError, match="does not exist"):
        load(tmp_path / "nowhere")


CSV_HEADER = "id,review,label\n"


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        # Two stray quotes match: well-formed, and two items are gone.
        (
            'a1,"20"" screen,positive\na2,Broke,negative\na3,Of 5"" enough",positive\n',
            r"en\.csv:2: lines 2 to 4 are one row",
        ),
        (
            'a1,fine,positive\na2,"Broke,negative\na3,Best,positive\na4,Tore" at once.,negative\n',
            r"en\.csv:3: broken CSV",
        ),
        ('a1,"never closed,positive\na2,fine,negative\n', r"en\.csv:2: broken CSV"),
    ],
)
def test_a_stray_quote_swallows_no_row(tmp_path, rows, message):
    (tmp_path / "en.csv").write_text(CSV_HEADER + rows)
    with pytest.raises(DataError, match=message):
        read_examples(tmp_path / "en.csv", load_task("sentiment"), "en")


def test_cells_that_may_be_rows_are_counted_in_a_warning(tmp_path, caplog):
    (tmp_path / "en.csv").write_text(
        CSV_HEADER + 'a1,"First, second,\nand, in the end, third",positive\na2,"Two\nlines",negative\n'
    )
    with caplog.at_level(logging.WARNING):
        assert len(read_examples(tmp_path / "en.csv", load_task("sentiment"), "en")) == 2
    assert "read 2 items from 5 lines; cells with line breaks that may be rows: lines 2 to 3" in caplog.text


def test_prose_that_names_a_label_is_no_row(tmp_path):
    """Only where a row has its label: `warm, positive, bright` inside a text is what somebody wrote."""
    (tmp_path / "en.csv").write_text(CSV_HEADER + 'a1,"My words:\nwarm, positive, bright",positive\n')
    assert len(read_examples(tmp_path / "en.csv", load_task("sentiment"), "en")) == 1


def test_a_cell_may_be_as_long_as_a_line_of_json(tmp_path):
    (tmp_path / "en.csv").write_text(CSV_HEADER + f"a1,{'x' * 180_000},positive\n")
    assert len(read_examples(tmp_path / "en.csv", load_task("sentiment"), "en")[0].fields["review"]) == 180_000


@pytest.mark.parametrize(("name", "mark"), [("en.csv", ";"), ("en.csv", "\t"), ("en.TSV", "\t")])
def test_the_header_says_what_separates_cells(tmp_path, name, mark):
    (tmp_path / name).write_text(f"id{mark}review{mark}label\na1{mark}fine, and more{mark}positive\n")
    (example,) = read_examples(tmp_path / name, load_task("sentiment"), "en")
    assert (example.fields["review"], example.label) == ("fine, and more", "positive")


def test_zero_is_an_id_and_other_values_are_named(tmp_path):
    path = write_rows(tmp_path / "en.jsonl", [ROW | {"id": 0}, ROW | {"id": 1}])
    assert [row.id for row in read_examples(path, load_task("sentiment"), "en")] == ["0", "1"]
    for value, message in ((1.0, "id 1.0 is neither"), (True, "id True is neither"), ("", "no id"), (None, "no id")):
        path = write_rows(tmp_path / "en.jsonl", [ROW | {"id": value}])
        with pytest.raises(DataError, match=message):
            read_examples(path, load_task("sentiment"), "en")


def test_files_are_matched_to_languages_in_other_spellings_and_named_where_they_are_not(tmp_path, caplog):
    folder = tmp_path / "sentiment" / "test"
    for name in ("ES.JSONL", "deu_Latn.jsonl", "zh-CN.jsonl", "nb.json", "zh-TW.jsonl", "notes.csv", "fr.xlsx"):
        write_rows(folder / name, [ROW])
    with caplog.at_level(logging.WARNING):
        files = language_files(str(tmp_path), load_task("sentiment"), "test")
    assert {code: path.name for code, path in files.items()} == {
        "zh": "zh-CN.jsonl", "de": "deu_Latn.jsonl", "es": "ES.JSONL", "no": "nb.json", "zh-TW": "zh-TW.jsonl",
    }  # fmt: skip
    assert "notes.csv: left out: 'notes' is not a language code" in caplog.text
    assert "fr.xlsx: left out: not one of .jsonl, .json, .csv, .tsv" in caplog.text


def test_two_files_of_one_language_are_refused(tmp_path):
    for name in ("en.csv", "en.jsonl"):
        write_rows(tmp_path / "sentiment" / "test" / name, [ROW])
    with pytest.raises(DataError, match=r"en\.jsonl: en\.csv is English too"):
        language_files(str(tmp_path), load_task("sentiment"), "test")


def test_a_json_array_is_read_like_json_lines(tmp_path):
    (tmp_path / "en.json").write_text('[{"id": 0, "review": "fine",\n "label": "positive"}]')
    assert read_examples(tmp_path / "en.json", load_task("sentiment"), "en")[0].id == "0"
