"""Freed memory is returned every few steps and at the end."""

from __future__ import annotations

from types import SimpleNamespace

from spillover.stages.train import freed_memory


def test_memory_is_returned_every_few_steps_and_at_the_end(monkeypatch):
    returned, step = [], 0
    monkeypatch.setattr(freed_memory, "return_freed_memory", lambda: returned.append(step))
    callback = freed_memory.FreedMemory()
    for step in range(1, 2 * freed_memory.STEPS + 2):
        callback.on_step_end(None, SimpleNamespace(global_step=step), None)
    assert returned == [freed_memory.STEPS, 2 * freed_memory.STEPS]
    callback.on_train_end(None, None, None)
    assert len(returned) == 3
