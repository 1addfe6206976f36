"""Workers in this process, in place of Ray's: they answer when they are waited for, the latest call first."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

from spillover.models import ray_workers
from spillover.models.ray_workers import Worker
from spillover.models.remote_model import WorkerPool


class Call:
    """A call of a worker that was not answered yet."""

    def __init__(self, method, arguments):
        self.answer = lambda: method(*arguments)


class Handle:
    """What Ray gives for an actor: `handle.method.remote(...)`."""

    def __init__(self, worker):
        self.worker, self.calls = worker, []

    def __getattr__(self, name):
        method = getattr(self.worker, name)

        def remote(*arguments):
            self.calls.append(name)
            return Call(method, arguments)

        return SimpleNamespace(remote=remote)


class Session:
    """As a RaySession."""

    ray = SimpleNamespace(put=lambda value: value)
    messages = SimpleNamespace(add=SimpleNamespace(remote=lambda _: None))

    def wait(self, pending):
        return [pending[-1]]

    def result(self, call):
        return call.answer()

    def answer(self, call):
        return call.answer()

    def room(self, config):
        return 2

    def actor(self, kind, config):
        return SimpleNamespace(remote=lambda *arguments: Handle(kind(*arguments)))


def local_workers(monkeypatch, model, number=2):
    """A RemoteModel on so many workers that have loaded `model`."""
    monkeypatch.setattr(Worker, "_model", lambda self, setup: model)
    handles = [Handle(Worker()) for _ in range(number)]
    return replace(handles[0].worker.describe(None), pool=WorkerPool(Session(), tuple(handles), None))


def without_ray(monkeypatch):
    """`ray_workers` gets a session of this process."""
    from contextlib import nullcontext

    monkeypatch.setattr(ray_workers, "ray_session", lambda progress: nullcontext(Session()))
