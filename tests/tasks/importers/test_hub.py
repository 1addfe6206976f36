"""Each data set's row on small local files of the same schema, made here: nothing is fetched."""

from __future__ import annotations

import json
import logging
import re
import sys
import unicodedata
from dataclasses import replace
from types import SimpleNamespace

import pandas as pd
import pytest

datasets = pytest.importorskip("datasets")

from spillover.core.errors import ConfigError, DataError, RunError  # noqa: E402
from spillover.core.files import read_json, resources, write_yaml  # noqa: E402
from spillover.core.languages import known_languages  # noqa: E402
from spillover.tasks.benchmark import open_benchmark  # noqa: E402
from spillover.tasks.examples import load_parallel, read_rows  # noqa: E402
from spillover.tasks.importers.hub import Source, datasets_known, import_dataset, needed, read_source  # noqa: E402
from spillover.tasks.wording import bundled_tasks, load_task  # noqa: E402
from tests.builders import kind_task  # noqa: E402

# Column names and label values as the hub has them; texts are ours.
SCHEMAS = {
    "amazon-polarity": (
        {"label": 1, "title": "Good", "content": "Works well."},
        "positive",
        {"review": "Good Works well."},
    ),
    "snli": ({"premise": "A.", "hypothesis": "B.", "label": 2}, "contradiction", {"premise": "A.", "hypothesis": "B."}),
    "xnli": ({"premise": "A.", "hypothesis": "B.", "label": 1}, "neutral", {"premise": "A.", "hypothesis": "B."}),
    "paws": (
        {"id": 7, "sentence1": "A.", "sentence2": "B.", "label": 0},
        "different",
        {"sentence1": "A.", "sentence2": "B."},
    ),
    "paws-x": (
        {"id": 7, "sentence1": "A.", "sentence2": "B.", "label": 1},
        "same",
        {"sentence1": "A.", "sentence2": "B."},
    ),
    "sib-200": ({"index_id": 7, "category": "science/technology", "text": "A."}, "science", {"text": "A."}),
    "xcopa": (
        {
            "premise": "A.",
            "choice1": "B.",
            "choice2": "C.",
            "question": "cause",
            "label": 1,
            "idx": 7,
            "changed": False,
        },
        "1",
        {"premise": "A.", "question": "cause", "choices": ["B.", "C."]},
    ),
    "xstorycloze": (
        {
            "story_id": "s7",
            "input_sentence_1": "A.",
            "input_sentence_2": "B.",
            "input_sentence_3": "C.",
            "input_sentence_4": "D.",
            "sentence_quiz1": "E.",
            "sentence_quiz2": "F.",
            "answer_right_ending": 1,
        },
        "0",
        {"story": "A. B. C. D.", "choices": ["E.", "F."]},
    ),
    "belebele": (
        {
            "link": "l",
            "question_number": 2,
            "flores_passage": "P.",
            "question": "Q?",
            "mc_answer1": "1",
            "mc_answer2": "2",
            "mc_answer3": "3",
            "mc_answer4": "4",
            "correct_answer_num": "3",
            "dialect": "x",
            "ds": "2023-05-03",
        },
        "2",
        {"passage": "P.", "question": "Q?", "choices": ["1", "2", "3", "4"], "cluster": "l"},
    ),
    "multiblimp": (
        {"sen": "They sing.", "wrong_sen": "They sings.", "phenomenon": "SV-#"},
        "0",
        {"choices": ["They sing.", "They sings."], "cluster": "SV-#"},
    ),
}


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


def local(name, folder, rows, languages=None, kind="parquet"):
    """The row of a data set with its hub id exchanged for local files of the same columns."""
    source = read_source(name)
    languages = languages or list(source.configs)[:2]
    files = {}
    for code in languages:
        path = folder / f"{name}-{code}.{kind}"
        folder.mkdir(parents=True, exist_ok=True)
        table = datasets.Dataset.from_list(rows)
        {"parquet": table.to_parquet, "json": table.to_json, "csv": table.to_csv}[kind](str(path))
        files[code] = {"test": str(path)}
    return source.model_copy(update={"hub": "", "configs": {}, "files": files})


def test_every_row_has_a_schema_here():
    assert set(SCHEMAS) == set(datasets_known())


def test_every_row_is_pinned_or_says_why_not():
    text = (resources() / "datasets.yaml").read_text()
    for name in datasets_known():
        source = read_source(name)
        assert re.fullmatch(r"[\w-]+/[\w-]+", source.hub)
        assert (
            re.fullmatch("[0-9a-f]{40}", source.revision) or "revision: main  # " in text.split(f"hub: {source.hub}")[1]
        )
        assert "test" in source.splits


@pytest.mark.parametrize("name", SCHEMAS)
def test_each_data_set_is_imported_with_its_labels_and_fields(name, tmp_path):
    row, label, fields = SCHEMAS[name]
    source = local(name, tmp_path / "files", [row])
    imported = import_dataset(source, tmp_path / "out")
    assert [(r.rows, r.dropped) for r in imported] == [(1, 0)] * len(source.files)
    for code in source.files:
        (written,) = [
            json.loads(line)
            for line in (tmp_path / "out" / source.task / "test" / f"{code}.jsonl").read_text().splitlines()
        ]
        assert written.pop("label") == label
        assert written.pop("id").startswith(f"{name}-test-")
        assert written == fields
    assert read_json(tmp_path / "out" / "SOURCE.json")["task"] == source.task


@pytest.mark.parametrize("name", [name for name in SCHEMAS if read_source(name).task in bundled_tasks()])
def test_a_row_of_a_bundled_task_has_its_labels_and_fields(name):
    source = read_source(name)
    task = load_task(source.task)
    if task.kind == "labels":
        assert set(source.labels.values()) - {"drop"} == set(task.labels)
    else:
        assert len(source.choices) == task.choices
        assert {str(index) for index in source.labels.values()} <= set(task.labels)
    assert tuple(source.fields) == task.fields
    assert source.parallel == task.parallel
    assert set(source.configs) & set(task.wordings or known_languages())


@pytest.mark.parametrize(
    "name", [name for name in SCHEMAS if read_source(name).choices and read_source(name).task in bundled_tasks()]
)
def test_a_row_with_answers_of_its_own_is_an_item_of_its_task(name, tmp_path):
    row, label, _ = SCHEMAS[name]
    languages = [code for code in read_source(name).configs if code in known_languages()][:2]
    source = local(name, tmp_path / "files", [row], languages)
    import_dataset(source, tmp_path / "out")
    benchmark = open_benchmark(source.task, data=str(tmp_path / "out"))
    golds = {code: [example.label for example in rows] for code, rows in benchmark.examples().items()}
    assert golds == {code: [label] for code in languages}


def test_topics_of_sib_200_are_items_of_the_bundled_task(tmp_path):
    categories = read_source("sib-200").labels
    rows = [{"index_id": i, "category": theirs, "text": f"Text {i}."} for i, theirs in enumerate(categories)]
    import_dataset(local("sib-200", tmp_path / "files", rows, languages=["en", "no", "zh"]), tmp_path / "out")
    examples = load_parallel(str(tmp_path / "out"), load_task("topic"), "test", ["en", "no", "zh"])
    assert [[row.label for row in rows] for rows in examples.values()] == [list(categories.values())] * 3


@pytest.mark.parametrize("kind", ["parquet", "json", "csv"])
def test_snli_pairs_without_a_label_are_dropped_and_counted(kind, tmp_path):
    rows = [{"premise": f"P {i}.", "hypothesis": "H.", "label": label} for i, label in enumerate([0, -1, 1, 2, -1])]
    source = local("snli", tmp_path / "files", rows, kind=kind)
    (imported,) = import_dataset(source, tmp_path / "out")
    assert (imported.rows, imported.dropped) == (3, 2)
    examples = load_parallel(str(tmp_path / "out"), load_task("nli"), "test", ["en"])["en"]
    assert [row.label for row in examples] == ["entailment", "neutral", "contradiction"]
    assert [row.id for row in examples] == ["snli-test-000001", "snli-test-000003", "snli-test-000004"], (
        "lines, as elsewhere"
    )


def test_items_have_the_same_id_in_every_language(tmp_path):
    rows = [{"id": i, "sentence1": f"A {i}", "sentence2": "B", "label": i % 2} for i in (3, 1, 2)]
    import_dataset(local("paws-x", tmp_path / "files", rows, ["en", "de"]), tmp_path / "out", limit=2)
    task = load_task("paraphrase")
    english, german = (
        read_rows(tmp_path / "out" / "paraphrase" / "test" / f"{code}.jsonl", task, code) for code in ("en", "de")
    )
    assert [row.id for row in english] == [row.id for row in german] == ["paws-x-test-3", "paws-x-test-1"]


def test_a_limit_keeps_the_same_items_where_rows_have_another_order(tmp_path):
    """As in Belebele, whose languages have orders of their own."""
    row = SCHEMAS["belebele"][0]
    source = local("belebele", tmp_path / "files", [row | {"question_number": i} for i in (1, 2, 3, 4)], ["en"])
    german = local("belebele", tmp_path / "more", [row | {"question_number": i} for i in (4, 2, 3, 1)], ["de"])
    source = source.model_copy(update={"files": source.files | german.files})
    assert [part.rows for part in import_dataset(source, tmp_path / "out", limit=2)] == [2, 2]
    examples = load_parallel(str(tmp_path / "out"), load_task(kind_task("reading")), "test", ["en", "de"])
    assert [row.id for row in examples["de"]] == ["belebele-test-l-1", "belebele-test-l-2"]


def test_what_does_not_fit_is_named(tmp_path):
    rows = [{"premise": "P.", "hypothesis": "H.", "label": 7}]
    with pytest.raises(DataError, match=r"row 1: label '7' is not one of 0, 1, 2, -1"):
        import_dataset(local("snli", tmp_path / "files", rows), tmp_path / "out")
    assert not (tmp_path / "out").exists()
    with pytest.raises(DataError, match="row 1: no 'hypothesis'"):
        import_dataset(local("snli", tmp_path / "other", [{"premise": "P.", "label": 1}]), tmp_path / "out")
    with pytest.raises(DataError, match="ids stand more than once"):
        import_dataset(local("paws", tmp_path / "twice", [SCHEMAS["paws"][0]] * 2), tmp_path / "out")


def test_a_row_of_ones_own_is_a_dozen_lines(tmp_path):
    (tmp_path / "rows.json").write_text('{"text": "Goal!", "kind": 1}\n{"text": "Atoms.", "kind": 0}\n')
    row = {
        "task": "headlines", "splits": {"test": "test"}, "fields": {"headline": "text"}, "label": "kind",
        "labels": {0: "science", 1: "sport"}, "files": {"en": {"test": str(tmp_path / "rows.json")}},
    }  # fmt: skip
    write_yaml(tmp_path / "mine.yaml", row)
    source = read_source(str(tmp_path / "mine.yaml"))
    import_dataset(source, tmp_path / "out")
    assert '"label": "sport"' in (tmp_path / "out" / "headlines" / "test" / "en.jsonl").read_text()
    assert "task.yaml" in needed(source)
    assert "--task nli" in needed(read_source("xnli"))


def test_mistakes_in_a_row_are_listed(tmp_path):
    with pytest.raises(ConfigError, match="'nothing' is neither known"):
        read_source("nothing")
    write_yaml(tmp_path / "bad.yaml", {"task": "topic", "colour": "red"})
    with pytest.raises(ConfigError) as caught:
        read_source(str(tmp_path / "bad.yaml"))
    assert "colour" in str(caught.value)
    assert "splits" in str(caught.value)
    write_yaml(tmp_path / "both.yaml", {"task": "t", "splits": {}, "fields": {}, "label": "l", "labels": {}})
    with pytest.raises(ConfigError, match="give hub and configs, or files"):
        read_source(str(tmp_path / "both.yaml"))


def test_without_a_network_it_says_so(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise ConnectionError("no route to the hub")

    monkeypatch.setattr(datasets, "load_dataset_builder", refuse)
    with pytest.raises(DataError, match="facebook/xnli: no route"):
        import_dataset(read_source("xnli"), tmp_path / "out", languages="en")


def test_what_is_asked_of_the_hub_is_pinned(tmp_path, monkeypatch):
    asked = []

    def load(*arguments, **options):
        asked.append((arguments, options))
        return [SCHEMAS["xnli"][0]]

    def builder(*arguments, **options):
        assert (arguments, options) == (("facebook/xnli", "sw"), {"revision": asked_revision})
        return SimpleNamespace(config=None, info=SimpleNamespace(features=None))

    asked_revision = "b8dd5d7af51114dbda02c0e3f6133f332186418e"
    monkeypatch.setattr(datasets, "load_dataset_builder", builder)
    monkeypatch.setattr(datasets, "load_dataset", load)
    import_dataset(read_source("xnli"), tmp_path / "out", languages="sw")
    assert asked[0] == (
        ("facebook/xnli", "sw"),
        {"split": "test", "revision": asked_revision},
    )


def test_a_folder_of_something_else_is_not_overwritten(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "precious").write_text("x")
    source = Source(name="x", task="t", splits={}, fields={}, label="l", labels={}, files={"en": {}})
    with pytest.raises(RunError, match="not made by this import"):
        import_dataset(source, tmp_path / "out")


def own(path, *, label="kind", labels=None, ids=("key",), text="text"):
    """A row for one local file, or a folder as the hub has it."""
    labels = {1: "positive", 0: "negative"} if labels is None else labels
    where = (
        {"hub": str(path), "configs": {"en": "default"}} if path.is_dir() else {"files": {"en": {"test": str(path)}}}
    )
    return Source(
        name="own", task="sentiment", splits={"test": "test"}, fields={"review": text}, label=label, labels=labels,
        id=list(ids), **where,
    )  # fmt: skip


def written(path, tmp_path, **options):
    """The imported rows of a file or a folder."""
    import_dataset(own(path, **options), tmp_path / "out")
    lines = (tmp_path / "out" / "sentiment" / "test" / "en.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


EXACT = [("01", "NA", "1"), ("1", "null", "0"), ("9007199254740993", "None", "1"), ("99999999999999999999", "nan", "0")]


@pytest.mark.parametrize("form", ["csv", "tsv", "json", "jsonl", "parquet", "hub-csv", "hub-tsv"])
def test_texts_and_numbers_stay_what_the_file_has(form, tmp_path):
    """pandas would read NA as missing, 01 as 1, and 20 digits as a rounded number."""
    rows = [{"key": key, "text": text, "kind": kind} for key, text, kind in EXACT]
    name = form.removeprefix("hub-")
    path = tmp_path / "repository" / f"test.{name}"
    path.parent.mkdir()
    if name == "parquet":
        datasets.Dataset.from_list(rows).to_parquet(str(path))
    elif name.startswith("json"):
        path.write_text("\n".join(map(json.dumps, rows)))
    else:
        separator = "\t" if name == "tsv" else ","
        path.write_text("\n".join(separator.join(row) for row in [("key", "text", "kind"), *EXACT]) + "\n")
    imported = written(path.parent if form.startswith("hub") else path, tmp_path)
    assert [row["id"] for row in imported] == [f"own-test-{key}" for key, _, _ in EXACT]
    assert [row["review"] for row in imported] == ["NA", "null", "None", "nan"]
    assert [row["label"] for row in imported] == ["positive", "negative"] * 2


def test_whole_numbers_of_a_column_with_gaps_are_whole_numbers(tmp_path):
    """pandas stores a column of whole numbers as floating point where one is missing."""
    path = tmp_path / "t.parquet"
    pd.DataFrame({"key": [7, None], "text": ["a", "b"], "kind": [1, None]}).iloc[:1].astype(
        {"key": float, "kind": float}
    ).to_parquet(path)
    assert written(path, tmp_path) == [{"id": "own-test-7", "review": "a", "label": "positive"}]
    gaps = tmp_path / "gaps.parquet"
    pd.DataFrame({"key": [7, 8], "text": ["a", "b"], "kind": [1, None]}).to_parquet(gaps)
    with pytest.raises(DataError, match=r"gaps\.parquet: row 2: no 'kind'"):
        written(gaps, tmp_path)
    pd.DataFrame({"key": [2.0**60], "text": ["a"], "kind": [1]}).to_parquet(gaps)
    with pytest.raises(DataError, match=r"row 1: key 1\.15\S+ is rounded"):
        written(gaps, tmp_path)


def test_large_whole_numbers_with_gaps_stay_exact(tmp_path):
    path = tmp_path / "t.parquet"
    table = pd.DataFrame({"key": pd.array([9007199254740993, None], dtype="Int64"), "text": "a", "kind": 1})
    table.to_parquet(path)
    with pytest.raises(DataError, match="row 2: no 'key'"):
        written(path, tmp_path)
    table.iloc[:1].to_parquet(path)
    assert written(path, tmp_path)[0]["id"] == "own-test-9007199254740993"


@pytest.mark.parametrize("cells", ["True,False", "true,false", "TRUE,FALSE"])
def test_true_and_false_are_labels_however_they_are_written(cells, tmp_path):
    first, second = cells.split(",")
    (tmp_path / "t.csv").write_text(f"key,text,kind\n1,a,{first}\n2,b,{second}\n")
    labels = {True: "positive", False: "negative"}
    assert [row["label"] for row in written(tmp_path / "t.csv", tmp_path, labels=labels)] == ["positive", "negative"]
    (tmp_path / "t.json").write_text('{"key": 1, "text": "a", "kind": true}')
    assert [row["label"] for row in written(tmp_path / "t.json", tmp_path, labels=labels)] == ["positive"]
    with pytest.raises(DataError, match="kind 'True' is not one of 1, 0"):
        written(tmp_path / "t.json", tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'key,text,kind\n1,"a 3"" nail,1\n2,bent,0\n3,an 8"" pipe,1\n4,"good",0\n', r"t\.csv:2: broken CSV"),
        (b'key,text,kind\n1,"a nail,1\n2,bent,0\n3,a pipe",1\n', r"t\.csv:2: lines 2 to 4 are one row"),
        (b"key,text,kind\n1,caf\xe9,1\n", r"t\.csv:2: not UTF-8 text \(byte 0xE9\)"),
        (b"key,text,kind\n1,a, b,1\n", r"t\.csv:2: not as many cells"),
        (b"key,text,kind\n1,a,1.0\n", r"t\.csv:2: kind '1\.0' is not one of 1, 0"),
        (b"key,text,kind\n1,a,\n", r"t\.csv:2: kind '' is not one of 1, 0"),
        (b"key,text,kind\n,a,1\n", r"t\.csv:2: 'key' is empty"),
        (b"key,words,kind\n1,a,1\n", r"t\.csv:2: no 'text'"),
    ],
)
@pytest.mark.parametrize("form", ["local", "hub"])
def test_a_csv_file_loses_no_row_without_a_word(content, message, form, tmp_path):
    path = tmp_path / "repository" / "test.csv"
    path.parent.mkdir()
    path.write_bytes(content)
    with pytest.raises(DataError, match=message.replace("t\\.csv", "test\\.csv")) as caught:
        written(path.parent if form == "hub" else path, tmp_path)
    assert caught.value.hint
    assert not (tmp_path / "out").exists()


def test_a_csv_file_of_excel_is_read(tmp_path):
    (tmp_path / "t.csv").write_bytes("\ufeffkey;text;kind\r\n1;Café;1\r\n".encode())
    assert written(tmp_path / "t.csv", tmp_path) == [{"id": "own-test-1", "review": "Café", "label": "positive"}]


def test_what_is_no_text_is_not_written_as_one(tmp_path):
    (tmp_path / "t.json").write_text('{"key": 1, "text": ["a", "b"], "kind": 1}')
    with pytest.raises(DataError, match=r"t\.json:1: 'text' is list, not text"):
        written(tmp_path / "t.json", tmp_path)
    (tmp_path / "t.parquet").write_bytes(b"PAR1")
    with pytest.raises(DataError, match=r"t\.parquet: not a readable table"):
        written(tmp_path / "t.parquet", tmp_path)
    with pytest.raises(DataError, match=r"absent\.parquet: not a readable table"):
        written(tmp_path / "absent.parquet", tmp_path)
    (tmp_path / "t.xlsx").write_bytes(b"")
    with pytest.raises(ConfigError, match=r"t\.xlsx: not one of \.parquet, \.jsonl"):
        written(tmp_path / "t.xlsx", tmp_path)


def test_a_label_in_another_unicode_form_is_matched_and_the_log_says_so_once(tmp_path, caplog):
    decomposed = unicodedata.normalize("NFD", "négatif")
    (tmp_path / "t.csv").write_text(f"key,text,kind\n1,a,{decomposed}\n2,b,{decomposed}\n", encoding="utf-8")
    with caplog.at_level(logging.WARNING):
        rows = written(tmp_path / "t.csv", tmp_path, labels={"négatif": "negative"})
    assert [row["label"] for row in rows] == ["negative"] * 2
    assert [record.message for record in caplog.records] == [
        f"{tmp_path / 't.csv'}: label 'négatif' is in another Unicode form than NFC: it is matched all the same"
    ]


def test_local_files_need_no_datasets(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    (tmp_path / "t.csv").write_text("key,text,kind\n1,a,1\n")
    assert len(written(tmp_path / "t.csv", tmp_path)) == 1


OWN = """\
task: reading
files: {en: {test: %s}}
splits: {test: test}
fields: {passage: text, question: ask}
choices: %s
label: answer
cluster: [text]
"""


def own_source(folder, rows, choices="[a, b]", **changes):
    table = folder / "own.jsonl"
    folder.mkdir(parents=True, exist_ok=True)
    table.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    text = OWN % (table, choices)
    for old, new in changes.items():
        text = re.sub(f"^{old}:.*$", new, text, flags=re.M)
    (folder / "own.yaml").write_text(text, encoding="utf-8")
    return read_source(str(folder / "own.yaml"))


ROW = {"text": "T.", "ask": "Q?", "a": "yes", "b": " no ", "answer": 1, "list": ["yes", "no", "so"]}


@pytest.mark.parametrize(("choices", "expected"), [("[a, b]", ["yes", "no"]), ("list", ["yes", "no", "so"])])
def test_choices_come_from_columns_or_from_a_list(choices, expected, tmp_path):
    import_dataset(own_source(tmp_path / "in", [ROW], choices), tmp_path / "out")
    (written,) = (tmp_path / "out" / "reading" / "test" / "en.jsonl").read_text(encoding="utf-8").splitlines()
    assert json.loads(written) == {
        "id": "own-test-000001", "passage": "T.", "question": "Q?", "choices": expected, "label": "1", "cluster": "T.",
    }  # fmt: skip
    (example,) = load_parallel(str(tmp_path / "out"), load_task(kind_task("reading")), "test", ["en"])["en"]
    assert example.cluster == "T."


@pytest.mark.parametrize(
    ("row", "choices", "message", "cure"),
    [
        ({"answer": 2}, "[a, b]", "own.jsonl:1: label '2' is not the index", "`labels: {1: 0"),
        ({}, "[a, missing]", "own.jsonl:1: no 'missing'", "it has text, ask, a, b, answer, list"),
        ({}, "missing", "own.jsonl:1: no 'missing'", "it has text"),
        ({}, "a", "own.jsonl:1: 'a' is not a list of texts", "names a column for each"),
        ({"a": "no"}, "[a, b]", "own.jsonl:1: choices 0 and 1 are equal: 'no'", "leave the item out"),
        ({"a": " "}, "[a, b]", "own.jsonl:1: choice 0 is empty", "leave the item out"),
        ({"list": ["yes"]}, "list", "own.jsonl:1: 1 choice; an item has from 2 to 10", "leave the item out"),
        ({"text": None}, "[a, b]", "own.jsonl:1: no 'text'", "it has text"),
    ],
)
def test_rows_whose_choices_do_not_fit_are_named(row, choices, message, cure, tmp_path):
    with pytest.raises(DataError) as error:
        import_dataset(own_source(tmp_path / "in", [ROW | row], choices), tmp_path / "out")
    assert message in error.value.message
    assert cure in error.value.hint
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("change", "column"), [({"cluster": "cluster: [page]"}, "page"), ({"label": "label: key"}, "key")]
)
def test_a_column_that_the_table_does_not_have_is_named(change, column, tmp_path):
    with pytest.raises(DataError) as error:
        import_dataset(own_source(tmp_path / "in", [ROW], **change), tmp_path / "out")
    assert f"own.jsonl:1: no '{column}'" in error.value.message
    assert error.value.hint == "it has text, ask, a, b, answer, list"


def test_answers_counted_from_one_are_mapped_and_dropped(tmp_path):
    source = own_source(tmp_path / "in", [ROW, ROW | {"answer": 2}, ROW | {"answer": -1}])
    source = source.model_copy(update={"labels": {1: 0, 2: 1, -1: "drop"}})
    (imported,) = import_dataset(source, tmp_path / "out")
    assert (imported.rows, imported.dropped) == (2, 1)
    rows = (tmp_path / "out" / "reading" / "test" / "en.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(row)["label"] for row in rows] == ["0", "1"]


def test_a_source_without_labels_needs_choices(tmp_path):
    with pytest.raises(ConfigError, match="give fields, label and labels, or choices"):
        own_source(tmp_path / "in", [ROW], "[]")


def test_languages_that_are_not_parallel_have_ids_and_items_of_their_own(tmp_path):
    rows = [{"sen": f"They sing {i}.", "wrong_sen": f"They sings {i}.", "phenomenon": "SV-#"} for i in range(3)]
    english = local("multiblimp", tmp_path / "a", rows, ["en"])
    german = local("multiblimp", tmp_path / "b", rows[:2], ["de"])
    import_dataset(english.model_copy(update={"files": english.files | german.files}), tmp_path / "out")
    task = load_task("blimp")
    examples = load_parallel(str(tmp_path / "out"), task, "test", ["en", "de"])
    assert [row.id for row in examples["de"]] == ["multiblimp-test-de-000001", "multiblimp-test-de-000002"]
    assert len(examples["en"]) == 3
    limited = load_parallel(str(tmp_path / "out"), task, "test", ["en", "de"], limit=1)
    assert [len(rows) for rows in limited.values()] == [1, 1]
    with pytest.raises(DataError, match="lacks"):
        load_parallel(str(tmp_path / "out"), replace(task, parallel=True), "test", ["en", "de"])


def test_what_is_needed_is_said_by_kind():
    pairs, choices = (read_source(name) for name in ("multiblimp", "xcopa"))
    assert needed(choices) == "evaluate it with --task copa"
    assert "(kind: pairs)" in needed(pairs.model_copy(update={"task": "grammar"}))
    assert "kind: choices" in needed(choices.model_copy(update={"task": "reasons"}))
