"""The importer on a small checkout of the same shape, made here."""

from __future__ import annotations

import json
import unicodedata

import pytest

from spillover.core.errors import DataError, RunError
from spillover.core.files import read_json_array, read_yaml, resources
from spillover.tasks.examples import load_parallel, read_rows
from spillover.tasks.importers.paper import import_paper, paper_tasks
from spillover.tasks.wording import bundled_tasks, load_task

SOURCES = read_yaml(resources() / "paper.yaml")["tasks"]
INSTRUCTION = "Translate the input from X to English:\n"


def write_array(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(rows, ensure_ascii=False, indent=4), encoding="utf-8")


@pytest.fixture
def checkout(tmp_path):
    """Two items per class and language, with the faults of the real one."""
    root = tmp_path / "checkout" / "data"
    for task, source in SOURCES.items():
        for code, words in source["labels"].items():
            swap = source.get("exchanged", {}).get(code, {})
            rows = [
                {key: f"{field} {i} {code}" for field, key in source["fields"].items()}
                | {"answer": words[swap.get(label, label)]}
                for i in range(2)
                for label in words
            ]
            write_array(root / source["test"].format(language=code), rows)
        for code in source.get("train_languages", ()):
            words = source.get("train_labels") or source["labels"][code]
            rows = [{key: f"train {field} {i}" for field, key in source["fields"].items()} | {"answer": word} for i, word in enumerate(words.values())]  # fmt: skip
            if task == "nli":
                rows.append({key: f"train {field} undecided" for field, key in source["fields"].items()})
            write_array(root / source["train"].format(language=code), rows)
        for code in source.get("question_languages", ()):
            rows = [{"input": f'W: one {i}\nW: two {i}\nW: "\n{INSTRUCTION}', "answer": "x"} for i in range(4)]
            write_array(root / source["questions"].format(language=code), rows)
    return tmp_path / "checkout"


def test_every_fault_is_repaired_and_counted(checkout, tmp_path):
    out = tmp_path / "paper"
    changes = {change.file.rpartition("/")[2]: change for change in import_paper(checkout, out)}
    assert changes["snli_no600_test.json"].rows == 4
    assert changes["snli_ja600_test.json"].rows == changes["snli_bn600_test.json"].rows == 2
    assert "paws_en10k_train.json" in changes
    task = load_task("nli")
    examples = load_parallel(str(out), task, "test", list(task.wordings))
    assert all([row.label for row in rows] == [row.label for row in examples["en"]] for rows in examples.values())
    assert examples["en"][0].id == "nli-0001"
    text = (out / "CHANGES.md").read_text(encoding="utf-8")
    assert all(f"{change.rows} rows, repaired" in text for change in changes.values())


def test_as_shipped_leaves_the_faults_in(checkout, tmp_path):
    out = tmp_path / "shipped"
    changes = import_paper(checkout, out, as_shipped=True)
    assert any(not change.applied for change in changes)
    task = load_task("nli")
    japanese = read_rows(out / "nli" / "test" / "ja.jsonl", task, "ja")
    assert "中性" in {row.label for row in japanese}
    assert "left as shipped" in (out / "CHANGES.md").read_text(encoding="utf-8")


def test_training_questions_are_taken_apart_and_parallel(checkout, tmp_path):
    import_paper(checkout, tmp_path / "paper")
    examples = load_parallel(str(tmp_path / "paper"), load_task("nli"), "train", ["en", "de", "sw"])
    assert examples["de"][0].fields == {"premise": "one 0", "hypothesis": "two 0"}
    assert [row.label for row in examples["en"]][-1] is None


def test_a_mended_upstream_is_not_broken_again(checkout, tmp_path):
    source = SOURCES["nli"]
    words = source["labels"]["no"]
    rows = [{"premise": "p", "hypothesis": str(i), "answer": word} for i in range(2) for word in words.values()]
    write_array(checkout / "data" / source["test"].format(language="no"), rows)
    changes = import_paper(checkout, tmp_path / "paper")
    assert not any("exchanged" in change.what for change in changes)


def test_what_is_no_checkout_is_said_to_be_none(tmp_path):
    with pytest.raises(DataError, match="not a checkout") as caught:
        import_paper(tmp_path, tmp_path / "out")
    assert "git clone" in caught.value.hint
    assert not (tmp_path / "out").exists()


def test_a_missing_language_is_named(checkout, tmp_path):
    (checkout / "data" / "paws" / "paws_th500_test.json").unlink()
    with pytest.raises(DataError, match=r"paws_th500_test\.json: no such file"):
        import_paper(checkout, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"input": "x"}, "no 'answer'"),
        ({"input": "x", "answer": "meh"}, "'meh' is not one of"),
        ({"answer": "positive"}, "no 'input'"),
    ],
)
def test_a_bad_row_is_named_with_its_line(checkout, tmp_path, row, message):
    path = checkout / "data" / "ap_emotion" / "emotion_en500_test.json"
    rows = json.loads(path.read_text(encoding="utf-8"))
    write_array(path, [rows[0], row, *rows[1:]])
    with pytest.raises(DataError, match=rf"emotion_en500_test\.json:6: .*{message}"):
        import_paper(checkout, tmp_path / "out")


def test_a_folder_of_someone_elses_is_not_written_over(checkout, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "precious").write_text("x")
    with pytest.raises(RunError, match="was not made by this import"):
        import_paper(checkout, tmp_path / "out")
    assert (tmp_path / "out" / "precious").exists()


@pytest.mark.parametrize("text", ['{"a": 1}', '[{"a": 1}, 3]', '[{"a": 1}, {"b"'])
def test_what_is_no_array_of_objects_is_refused(tmp_path, text):
    path = tmp_path / "rows.json"
    path.write_text(text)
    with pytest.raises(DataError, match=r"rows\.json:1"):
        list(read_json_array(path))


def test_the_command_says_what_it_repaired(checkout, tmp_path, capsys):
    from spillover.cli import main

    with pytest.raises(SystemExit) as caught:
        main(["import", "paper", str(checkout), "--out", str(tmp_path / "paper")])
    assert not caught.value.code
    output = capsys.readouterr().out
    assert "exchanged in the gold: 4 rows, repaired" in output
    assert str(tmp_path / "paper") in output


def test_an_answer_in_another_unicode_form_is_matched(checkout, tmp_path):
    task, code = next(
        (task, code)
        for task, source in SOURCES.items()
        for code, words in source["labels"].items()
        if any(unicodedata.normalize("NFD", word) != word for word in words.values())
    )
    source = SOURCES[task]
    path = checkout / "data" / source["test"].format(language=code)
    rows = json.loads(path.read_text(encoding="utf-8"))
    write_array(path, [row | {"answer": unicodedata.normalize("NFD", row["answer"])} for row in rows])
    import_paper(checkout, tmp_path / "out")
    examples = load_parallel(str(tmp_path / "out"), load_task(task), "test", ["en", code])
    assert [row.label for row in examples[code]] == [row.label for row in examples["en"]]


def test_the_papers_tasks_are_bundled_ones():
    assert paper_tasks() == ["sentiment", "nli", "paraphrase"]
    assert set(paper_tasks()) < set(bundled_tasks())
