from __future__ import annotations


def test_a_data_set_of_a_user_is_imported_and_audited(tmp_path, call):
    (tmp_path / "rows.json").write_text('{"text": "Works well.", "stars": 5}\n{"text": "Broke at once.", "stars": 1}\n')
    (tmp_path / "mine.yaml").write_text(
        "task: sentiment\nsplits: {test: test}\nfields: {review: text}\nlabel: stars\nlabels: {1: negative, 5: positive}\n"
        f"files: {{en: {{test: {tmp_path / 'rows.json'}}}}}\n"
    )
    code, output, error = call("import", "hub", tmp_path / "mine.yaml", "--out", tmp_path / "data")
    assert code == 0, error
    assert "sentiment/test/en: 2 rows" in output
    assert "--task sentiment" in output
    assert call("audit", "--from-hub", tmp_path / "mine.yaml", "--out", tmp_path / "run")[0] == 0
