from __future__ import annotations

import pytest


def test_without_an_adapter_the_command_that_makes_one_is_named(tmp_path, call):
    code, out, err = call("merge", "--out", tmp_path / "run")
    assert (code, out) == (3, "")
    assert "no train/adapter found" in err
    assert "`spillover train` first" in err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("flag", ["--adapter-only", "--private"])
def test_what_only_concerns_publishing_needs_push(flag, tmp_path, call):
    code, _, err = call("merge", "--out", tmp_path / "run", flag)
    assert code == 2
    assert "require --push" in err
