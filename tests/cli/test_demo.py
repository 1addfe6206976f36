from __future__ import annotations


def test_a_demo_folder_that_is_no_run_is_not_deleted(tmp_path, call):
    (tmp_path / "precious").write_text("x")
    code, _, error = call("demo", "--out", tmp_path, "--fresh")
    assert code == 3
    assert (tmp_path / "precious").exists()
    assert "not a run folder" in error
