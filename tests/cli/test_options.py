from __future__ import annotations

import pytest


@pytest.mark.parametrize("name", ["../tuned", "a/b", "", "con"])
def test_a_name_in_the_run_must_be_that_of_a_folder(name, workspace, tmp_path, call):
    arguments = ("evaluate", "--model", workspace / "model", "--data", workspace / "data", "--out", tmp_path / "run")
    code, _, err = call(*arguments, "--name", name)
    assert code == 2
    assert "--name" in err
    assert not (tmp_path / "run").exists()
