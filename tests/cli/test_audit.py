from __future__ import annotations

import json

from tests.builders import small_data, write_rows


def test_findings_end_with_exit_code_three(tmp_path, call):
    data = small_data(tmp_path / "data")
    write_rows(data / "sentiment" / "test" / "de.jsonl", [{"id": "item-0", "review": "x", "label": "gut"}])
    code, output, _ = call("audit", "--data", data, "--out", tmp_path / "run")
    assert code == 3
    assert "unknown-label" in output


def test_the_worst_language_comes_first_and_fail_on_decides(tmp_path, call):
    data = small_data(tmp_path / "data", ("en", "de", "es", "fr"), items=20)
    path = data / "sentiment" / "test" / "es.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    write_rows(path, [rows[0] | {"review": "review 0 in en"}, *rows[1:]])
    arguments = ("audit", "--data", data, "--out", tmp_path / "run")
    assert call(*arguments)[0] == 0, "a warning is no error"
    assert call(*arguments, "--fail-on", "warning")[0] == 3
    assert call(*arguments, "--fail-on", "warning", "--set", "audit.text_letters=50")[0] == 0
    path = data / "sentiment" / "test" / "fr.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    write_rows(path, [row | {"label": "bon" if row["label"] == "positive" else "negative"} for row in rows])
    code, output, _ = call(*arguments, "--fix", tmp_path / "fixed")
    assert code == 3
    table = output.splitlines()
    assert [line.split()[1] for line in table if line.startswith("sentiment")] == ["fr", "es"]
    assert " 50.0 " in next(line for line in table if line.startswith("sentiment fr"))
    assert "repaired sentiment/test/fr: 10 x label (unknown-label)" in output
    assert call("audit", "--data", tmp_path / "fixed", "--out", tmp_path / "again")[0] == 0


def test_a_folder_that_a_repaired_copy_may_not_replace_is_refused_before_the_audit(workspace, tmp_path, call):
    (tmp_path / "mine").write_text("precious")
    code, output, error = call(
        "audit", "--data", workspace / "data", "--out", tmp_path / "run", "--fix", tmp_path / "mine"
    )
    assert code == 3
    assert "not made by --fix" in error
    assert output == ""
    assert not (tmp_path / "run" / "audit").exists()


def test_the_audit_uses_the_tokenizer_of_the_named_model(workspace, tmp_path, call):
    code, output, error = call("audit", "--lang", "en,hi", "--model", workspace / "model", "--out", tmp_path / "run")
    assert code == 0, error
    assert "token-cost" in output


def test_what_the_longest_answer_scores_is_a_table(tmp_path, call):
    code, output, _ = call("audit", "--task", "copa", "--lang", "en,de", "--out", tmp_path / "run")
    assert code == 0
    lines = output.splitlines()
    table = lines[lines.index(next(line for line in lines if "right by length alone" in line)) :]
    assert {line.split()[1] for line in table if line.startswith("copa")} == {"en", "de"}
    assert table[1].split() == ["items", "chance", "longest", "in", "bytes", "shortest"]
