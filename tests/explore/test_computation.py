"""A computation can be looked at while it runs, and be cancelled; a failed one does not stop the next."""

from __future__ import annotations

import threading
import time

import pytest

from spillover.explore.computation import Computation, Worker


def until(condition):
    while not condition():
        time.sleep(0.001)


def test_news_are_told_once():
    computation = Computation([1, 2])
    assert computation.news() is None
    computation.run()
    assert (computation.news(), computation.news(), computation.done) == (2, None, True)


def test_computations_wait_for_their_turn_and_cancel_after_a_step():
    worker, go, seen = Worker(), threading.Semaphore(0), []

    def steps(name):
        for number in range(3):
            go.acquire()
            seen.append((name, number))
            yield number

    first, second, third = (worker.start(steps(name)) for name in "abc")
    go.release()
    until(lambda: first.news() == 0)
    first.cancel()
    second.cancel()
    for _ in range(4):
        go.release()
    until(lambda: third.done)
    assert seen == [("a", 0), ("a", 1), ("c", 0), ("c", 1), ("c", 2)]
    assert first.done
    assert second.latest is None
    assert third.latest == 2


def test_a_failure_is_told_once_and_the_next_is_computed():
    def fail():
        yield 1
        raise ValueError("no memory")

    worker = Worker()
    failed, after = worker.start(fail()), worker.start([5])
    until(lambda: after.done)
    with pytest.raises(RuntimeError, match="could not be computed: no memory"):
        failed.news()
    assert (failed.news(), after.news()) == (1, 5)
