"""Workers of Ray: refused before anything is loaded where they cannot be had; a real Ray gives the bytes of one process,
also when a worker is killed."""

from __future__ import annotations

import os
import signal
import time

import pytest

from spillover.core.config import ModelConfig, RayConfig
from spillover.core.errors import ConfigError, ModelError
from spillover.core.ray_task import shared_place
from spillover.models import ray_workers as module
from spillover.models.ray_workers import ray_workers
from tests.builders import make_model, save_model, small_data
from tests.models.local_workers import without_ray
from tests.ray_processes import start


def opened(tmp_path, monkeypatch, model=None, **options):
    without_ray(monkeypatch)
    monkeypatch.setattr(module, "relayed", lambda *_: None)
    monkeypatch.setattr(module, "use_threads", lambda _: None)
    config = model or ModelConfig(name="tiny")
    with (
        shared_place(tmp_path / "out") as place,
        ray_workers(config, RayConfig(), place, progress=lambda *_: None, **options) as remote,
    ):
        return remote


def test_as_many_workers_as_there_is_room_for_or_as_are_asked_for(tmp_path, monkeypatch, tiny):
    monkeypatch.setattr(module, "load_model", lambda **_: tiny)
    assert len(opened(tmp_path, monkeypatch).pool.workers) == 2
    assert len(opened(tmp_path, monkeypatch, workers=1).pool.workers) == 1
    with pytest.raises(ConfigError, match="--workers 3: Ray has room for 2") as caught:
        opened(tmp_path, monkeypatch, workers=3)
    assert "--workers 2" in caught.value.hint


def test_workers_that_loaded_different_models_are_refused(tmp_path, monkeypatch):
    models = iter([make_model(seed=0), make_model(seed=1)])
    monkeypatch.setattr(module, "load_model", lambda **_: next(models))
    with pytest.raises(ModelError, match="do not compute alike"):
        opened(tmp_path, monkeypatch)


def test_a_served_model_is_refused(tmp_path, monkeypatch):
    with pytest.raises(ConfigError, match="scored by its servers"):
        opened(tmp_path, monkeypatch, ModelConfig(name="tiny", server=["http://127.0.0.1:1"]))


@pytest.fixture
def workplace(tmp_path):
    pytest.importorskip("ray")
    save_model(tmp_path / "model")
    small_data(tmp_path / "data", items=60)
    return tmp_path


def command(out, *more):
    return ["evaluate", "--model", "model", "--dtype", "float32", "--device", "cpu", "--data", "data", "--out", out,
            "--set", "evaluate.batch_tokens=64", *more]  # fmt: skip


def tables(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*.parquet"))}


@pytest.mark.ray
def test_a_worker_that_is_killed_changes_no_byte(workplace):
    code, said = start(command("one"), workplace).end()
    assert code == 0, said
    ray = start(command("workers", "--on", "ray", "--workers", "2"), workplace)
    killed = kill_a_worker(ray, workplace / "workers")
    code, said = ray.end()
    assert code == 0, said
    assert killed
    assert len(tables(workplace / "one")) == 3
    assert tables(workplace / "one") == tables(workplace / "workers")
    assert ray.left() == []


def kill_a_worker(ray, out):
    """The worker that was killed, by SIGKILL, when the first batches were written; None when there was no time for it."""
    while ray.running():
        if any(out.glob("evaluate/*/*/*.batches.jsonl")):
            workers = ray.pids("ray::Worker")
            if workers:
                os.kill(workers[0], signal.SIGKILL)
                return workers[0]
        time.sleep(0.01)
    return None


@pytest.mark.ray
def test_a_mistake_on_a_worker_is_one_line_and_leaves_nothing(workplace):
    (workplace / "model" / "model.safetensors").write_bytes(b"broken")
    ray = start(command("broken", "--on", "ray", "--workers", "1"), workplace)
    code, said = ray.end()
    assert code == 3, said
    assert said.count("error: ") == 1
    assert "error: model 'model' cannot be loaded" in said
    assert "Traceback" not in said
    assert ray.left() == []
