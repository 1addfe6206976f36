"""What is refused before a task is submitted, and what a task says; tests/models and test_sweep_ray have a real Ray."""

from __future__ import annotations

import logging
import os
import sys
from types import ModuleType, SimpleNamespace

import pytest

from spillover.core import ray_session as module
from spillover.core.config import RayConfig
from spillover.core.errors import ConfigError, DataError, MissingExtra, RunError
from spillover.core.ray_session import RaySession, ray_session
from spillover.core.ray_task import LogLine, Step


class RayError(Exception):
    pass


class RayTaskError(RayError):
    def __init__(self, cause):
        self.cause = cause


EXCEPTIONS = SimpleNamespace(
    RayError=RayError,
    RayTaskError=RayTaskError,
    WorkerCrashedError=type("WorkerCrashedError", (RayError,), {}),
    RayActorError=type("RayActorError", (RayError,), {}),
    OutOfMemoryError=type("OutOfMemoryError", (RayError,), {}),
)


def session(**ray):
    """A session of a Ray that has these functions."""
    messages = SimpleNamespace(take=SimpleNamespace(remote=lambda: "messages"))
    return RaySession(SimpleNamespace(exceptions=EXCEPTIONS, **ray), ("127.0.0.1", 1), messages)


def raising(error):
    def get(*_, **__):
        raise error

    return get


def test_without_ray_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtra) as caught, ray_session():
        pass
    assert caught.value.hint == "pip install 'spillover[ray]'"


@pytest.mark.allow_hosts(["127.0.0.1"])
@pytest.mark.parametrize("address", ["127.0.0.1:1", "ray://127.0.0.1:1"])
def test_a_cluster_that_does_not_answer_is_one_line(monkeypatch, address):
    ray = ModuleType("ray")
    ray.is_initialized = lambda: False
    monkeypatch.setitem(sys.modules, "ray", ray)
    monkeypatch.setenv("RAY_ADDRESS", address)
    with pytest.raises(RunError, match=rf"Ray at {address} \(RAY_ADDRESS\) does not answer") as caught, ray_session():
        pass
    assert "unset RAY_ADDRESS" in caught.value.hint


NODES = [
    {"Alive": True, "Resources": {"CPU": 8.0, "GPU": 2.0}},
    {"Alive": True, "Resources": {"CPU": 4.0}},
    {"Alive": False, "Resources": {"CPU": 64.0, "GPU": 8.0}},
]


@pytest.mark.parametrize(
    ("config", "room"),
    [({}, 12), ({"num_cpus": 3}, 3), ({"num_gpus": 1}, 2), ({"num_gpus": 0.5, "num_cpus": 2}, 4), ({"num_cpus": 8}, 1)],
)
def test_room_for_tasks_is_counted_by_node(config, room):
    assert session(nodes=lambda: NODES).room(RayConfig(**config)) == room


@pytest.mark.parametrize(
    ("config", "message"),
    [({"num_cpus": 9}, "ray.num_cpus: 9, and no node of Ray has more than 8"), ({"num_gpus": 3}, "ray.num_gpus: 3, ")],
)
def test_a_task_that_fits_nowhere_is_refused(config, message):
    with pytest.raises(ConfigError, match=message):
        session(nodes=lambda: NODES).room(RayConfig(**config))


def test_the_users_mistake_comes_through_as_it_was():
    mistake = DataError("file:3: wrong", hint="repair it")
    with pytest.raises(DataError) as caught:
        session(get=raising(RayTaskError(mistake))).result("task")
    assert caught.value is mistake
    with pytest.raises(MissingExtra, match="peft"):
        session(get=raising(RayTaskError(ImportError("no", name="peft")))).result("task")


@pytest.mark.parametrize("kind", ["WorkerCrashedError", "RayActorError", "OutOfMemoryError"])
def test_a_worker_that_dies_again_and_again_is_one_line(kind):
    with pytest.raises(RunError, match="died again and again: it was killed") as caught:
        session(get=raising(getattr(EXCEPTIONS, kind)("it was killed\nby somebody"))).result("task")
    assert "what was scored is kept" in caught.value.hint


def test_a_bug_stays_a_bug():
    with pytest.raises(RayTaskError):
        session(get=raising(RayTaskError(ZeroDivisionError()))).result("task")


@pytest.mark.allow_hosts(["127.0.0.1"])
def test_a_head_that_is_gone_is_one_line(monkeypatch):
    monkeypatch.setattr(module, "SILENCE", 0.0)
    gone = session(wait=lambda *_, **__: ([], ["task"]), get=lambda *_, **__: [])
    with pytest.raises(RunError, match=r"Ray's head at 127\.0\.0\.1:1 is gone") as caught:
        while True:
            gone.wait(["task"])
    assert "what was scored is kept" in caught.value.hint


def test_what_tasks_say_is_handed_on(caplog):
    said = [LogLine("cell", logging.WARNING, "slow"), Step("cell", "train", 0, 3), Step("cell", "train", 3, 3)]
    steps = []
    driver = session(wait=lambda pending, **_: (pending, []), get=lambda *_, **__: said)
    driver.progress = lambda *step: steps.append(step)
    with caplog.at_level("INFO"):
        assert driver.wait(["task"]) == ["task"]
    assert caplog.messages == ["cell: slow", "cell: train"]
    assert steps == [("cell", 0, 3), ("cell", 3, 3)]


def test_what_ray_reads_from_the_environment_is_as_before_at_the_end(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    before = dict(os.environ)
    seen = {}
    monkeypatch.setattr(module, "missing_extra", lambda _: seen.update(os.environ) or MissingExtra("none"))
    with pytest.raises(MissingExtra), ray_session():
        pass
    assert seen["RAY_USAGE_STATS_ENABLED"] == "0"
    assert len(seen["RAY_AUTH_TOKEN"]) == 64
    assert dict(os.environ) == before
