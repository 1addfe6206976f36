from __future__ import annotations

from importlib import import_module


def test_only_the_first_of_several_processes_prints_what_was_written(workspace, tmp_path, call, monkeypatch):
    call("build", "--data", workspace / "data", "--source", "de,es", "--out", tmp_path / "run")
    monkeypatch.setattr(import_module("spillover.stages.train.stage"), "train", lambda *_, **__: None)
    arguments = ("train", "--model", workspace / "model", "--out", tmp_path / "run")
    assert "wrote" in call(*arguments)[1]
    monkeypatch.setenv("RANK", "1")
    assert call(*arguments)[:2] == (0, "")
