from __future__ import annotations

from types import SimpleNamespace

from spillover.core.files import read_jsonl
from spillover.stages.train.loss_log import LossLog


def state(history, *, first=True):
    return SimpleNamespace(log_history=history, is_world_process_zero=first, global_step=3, max_steps=9)


def test_the_file_holds_the_whole_history_after_each_log(tmp_path):
    path = tmp_path / "steps.jsonl"
    log = LossLog(path, lambda *_: None)
    log.on_log(None, state([{"loss": 2.0}]), None)
    log.on_log(None, state([{"loss": 2.0}, {"loss": 1.5}]), None)
    assert [row for _, row in read_jsonl(path)] == [{"loss": 2.0}, {"loss": 1.5}]
    assert [file.name for file in tmp_path.iterdir()] == ["steps.jsonl"]


def test_only_the_first_process_writes(tmp_path):
    LossLog(tmp_path / "steps.jsonl", lambda *_: None).on_log(None, state([{"loss": 2.0}], first=False), None)
    assert not list(tmp_path.iterdir())


def test_each_step_advances_the_bar():
    drawn = []
    LossLog(None, lambda *progress: drawn.append(progress)).on_step_end(None, state([]), None)
    assert drawn == [("train", 3, 9)]
