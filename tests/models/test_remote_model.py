from __future__ import annotations

import pickle

from tests.models.local_workers import local_workers


def test_what_stands_in_for_a_model_says_what_the_model_says_and_can_be_sent(tiny, monkeypatch):
    described = local_workers(monkeypatch, tiny).pool.workers[0].worker.describe(None)
    remote = pickle.loads(pickle.dumps(described))
    assert (remote.ref, remote.vocabulary, remote.engine) == (tiny.ref, tiny.vocabulary, tiny.engine)
    assert (remote.dtype, remote.device, remote.pool) == ("float32", "cpu", None)
