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


@pytest.fixture
def finished_elsewhere(tmp_path):
    """A run whose train stage, made with rank 8, is finished."""
    other = open_run(tmp_path / "other")
    with other.stage("train", {"rank": 8}) as stage:
        stage.facts["steps"] = 3
        for name in ("adapter", "merged"):
            (other.path / "train" / name).mkdir(parents=True)
            (other.path / "train" / name / "weights").write_text(name)
    return other.path


def test_a_stage_that_another_run_finished_from_the_same_inputs_is_taken_over(finished_elsewhere, tmp_path):
    run = open_run(tmp_path / "run")
    others = [tmp_path / "not there yet", finished_elsewhere]
    with run.stage("train", {"rank": 8}, other_runs=others, not_taken=["merged"]) as stage:
        assert stage.finished
        assert stage.facts == {"steps": 3}
    assert [path.name for path in (run.path / "train").rglob("*")] == ["adapter", "weights"]
    record = run.manifest()["stages"]["train"]
    assert record == open_run(finished_elsewhere).manifest()["stages"]["train"] | {"taken_over_from": "other"}


@pytest.mark.parametrize("damage", ["other settings", "not finished", "no files", "damaged manifest"])
def test_nothing_else_is_taken_over(damage, finished_elsewhere, tmp_path):
    manifest = finished_elsewhere / "run.json"
    if damage == "not finished":
        manifest.write_text(manifest.read_text().replace('"done"', '"started"'))
    elif damage == "no files":
        (finished_elsewhere / "train").rename(tmp_path / "moved")
    elif damage == "damaged manifest":
        manifest.write_text("{")
    run = open_run(tmp_path / "run")
    settings = {"rank": 16 if damage == "other settings" else 8}
    with run.stage("train", settings, other_runs=[finished_elsewhere]) as stage:
        assert not stage.finished
    assert not (run.path / "train").exists()


def test_a_finished_stage_is_kept_where_another_run_has_it_too(finished_elsewhere, tmp_path):
    run = open_run(tmp_path / "run")
    for _ in range(2):
        with run.stage("train", {"rank": 8}) as stage:
            stage.facts["steps"] = 4
    with run.stage("train", {"rank": 8}, other_runs=[finished_elsewhere]) as stage:
        assert stage.facts == {"steps": 4}
    assert not (run.path / "train").exists()


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
