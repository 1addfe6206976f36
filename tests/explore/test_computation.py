"""A computation can be looked at while it runs, and be cancelled; a failed one does not stop the next."""

from __future__ import annotations

import threading
import time

import pytest

from spillover.explore.computation import Computation, Worker


def until(condition):
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.001)


def test_a_result_is_returned_once():
    computation = Computation([1, 2])
    assert computation.new_result() is None
    assert computation.pending
    computation.run()
    assert computation.done
    assert computation.pending
    assert (computation.new_result(), computation.new_result(), computation.pending) == (2, None, False)


def test_computations_wait_for_their_turn_and_cancel_after_a_step():
    worker, go, seen = Worker(), threading.Semaphore(0), []

    def steps(name):
        for number in range(3):
            go.acquire()
            seen.append((name, number))
            yield number

    first, second, third = (worker.start(steps(name)) for name in "abc")
    go.release()
    until(lambda: first.new_result() == 0)
    first.cancel()
    second.cancel()
    for _ in range(4):
        go.release()
    until(lambda: third.done)
    assert seen == [("a", 0), ("a", 1), ("c", 0), ("c", 1), ("c", 2)]
    assert first.done
    assert second.latest is None
    assert third.latest == 2


def test_a_failure_is_raised_once_and_the_next_is_computed():
    def fail():
        yield 1
        raise ValueError("no memory")

    worker = Worker()
    failed, after = worker.start(fail()), worker.start([5])
    until(lambda: after.done)
    with pytest.raises(RuntimeError, match="could not be computed: no memory"):
        failed.new_result()
    assert (failed.new_result(), after.new_result()) == (1, 5)


def test_a_closed_worker_ends_after_a_step_and_computes_nothing_more():
    worker, begun, go = Worker(), threading.Event(), threading.Semaphore(0)

    def steps():
        begun.set()
        for number in range(3):
            go.acquire()
            yield number

    first, second = worker.start(steps()), worker.start([5])
    assert begun.wait(30)
    closing = threading.Thread(target=worker.close)
    closing.start()
    until(lambda: first.cancelled)
    go.release()
    closing.join(30)
    assert not closing.is_alive()
    assert first.done
    assert (first.latest, second.latest) == (0, None)
