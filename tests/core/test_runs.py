from __future__ import annotations

import json

import pytest

from spillover.core.errors import RunError
from spillover.core.runs import existing_run, open_run


def test_a_stage_is_done_once(tmp_path):
    run = open_run(tmp_path / "run")
    with run.stage("build", {"n": 1}) as stage:
        assert not stage.finished
        stage.facts["pairs"] = 3
    with run.stage("build", {"n": 1}) as stage:
        assert stage.finished
        assert stage.facts == {"pairs": 3}


def test_a_stage_that_failed_is_not_done(tmp_path):
    run = open_run(tmp_path / "run")
    with pytest.raises(ValueError), run.stage("build", {"n": 1}):
        raise ValueError
    with run.stage("build", {"n": 1}) as stage:
        assert not stage.finished


def test_other_settings_are_refused_and_named(tmp_path):
    run = open_run(tmp_path / "run")
    with run.stage("train", {"rank": 8, "nested": {"a": 1}}):
        pass
    before = (tmp_path / "run" / "run.json").read_text()
    with pytest.raises(RunError, match="rank: 8 → 16"), run.stage("train", {"rank": 16, "nested": {"a": 1}}):
        pass
    assert (tmp_path / "run" / "run.json").read_text() == before


def test_a_folder_with_something_else_in_it_is_refused(tmp_path):
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(RunError, match="not a run folder"):
        open_run(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_missing_run_is_named(tmp_path):
    with pytest.raises(RunError, match="not a run folder"):
        existing_run(tmp_path / "nothing")


def test_manifest_says_what_made_it_and_holds_no_absolute_path(tmp_path):
    run = open_run(tmp_path / "run")
    assert not run.path.exists()
    run.update(name="x")
    manifest = json.loads((run.path / "run.json").read_text())
    assert {"python", "cores"} <= set(manifest["host"])
    assert "spillover" in manifest["versions"]
    assert str(tmp_path) not in json.dumps(manifest)


def test_log_is_one_event_a_line(tmp_path):
    run = open_run(tmp_path / "run")
    with run.stage("build", {}):
        pass
    events = [json.loads(line)["event"] for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert events == ["started", "done"]


def test_a_killed_process_leaves_no_stray_file_and_no_foreign_folder(tmp_path):
    (tmp_path / "run.lock").write_text("{")
    (tmp_path / "run.json.123.partial").write_text("{")
    run = open_run(tmp_path)
    with run.locked():
        assert sorted(path.name for path in tmp_path.iterdir()) == ["run.lock"]
        run.update(name="x")
    assert [path.name for path in tmp_path.iterdir()] == ["run.json"]


def test_only_the_first_of_torchruns_processes_locks(tmp_path, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    with open_run(tmp_path / "run").locked():
        assert not (tmp_path / "run").exists()


def test_a_manifest_keeps_what_another_process_wrote_between_two_updates(tmp_path):
    first, second = open_run(tmp_path / "run"), open_run(tmp_path / "run")
    first.update(a=1)
    second.update(b=2)
    first.update(c=3)
    assert {"a", "b", "c"} <= set(first.manifest())
