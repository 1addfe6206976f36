from __future__ import annotations

from pathlib import Path


def test_every_mistake_in_a_config_is_listed(tmp_path, monkeypatch, call):
    monkeypatch.chdir(tmp_path)
    Path("bad.yaml").write_text("nmae: x\nlimit: few\ntrain: {rank: 0}\n")
    code, _, error = call("run", "bad.yaml", "--out", "run")
    assert code == 2
    assert all(part in error for part in ("nmae", "few", "train.rank"))
    assert not Path("run").exists()


def test_help_config_lists_every_key(call):
    assert "train.rank" in call("run", "--help-config")[1]
