"""Who gets which item, how many at a time, and what happens when a server fails; without a network."""

from __future__ import annotations

import threading
import time
from collections import Counter

import pytest

from spillover.core.errors import ModelError, RunError
from spillover.models.server_client import Unavailable
from spillover.models.server_pool import InFlight, ServerPool


class Client:
    def __init__(self, url):
        self.url = url


def pool_of(*urls, **options):
    return ServerPool([Client(url) for url in urls], **{"backoff": 0.001} | options)


def test_every_item_comes_once_and_all_servers_work():
    pool, seen = pool_of("a", "b", in_flight=2), Counter()
    gate = threading.Barrier(4)

    def ask(client, number):
        if number < 4:  # two on each at the same time
            gate.wait(timeout=10)
        seen[client.url] += 1
        return number * 10

    assert sorted(pool.run(range(30), ask)) == [(i, 10 * i) for i in range(30)]
    assert min(seen["a"], seen["b"]) >= 2


def test_no_more_than_asked_for_are_on_their_way():
    at_once, most, lock = 0, 0, threading.Lock()

    def ask(client, number):
        nonlocal at_once, most
        with lock:
            at_once += 1
            most = max(most, at_once)
        with lock:
            at_once -= 1
        return number

    assert len(list(pool_of("a", in_flight=8).run(range(20), ask, at_a_time=1))) == 20
    assert most == 1


def test_a_server_that_fails_is_dropped_and_the_others_take_its_items(caplog):
    def ask(client, number):
        if client.url == "a":
            raise Unavailable("a: connection refused")
        return client.url

    pool = pool_of("a", "b", retries=2)
    found = dict(pool.run(range(50), ask, at_a_time=2))
    assert set(found.values()) == {"b"}
    assert len(found) == 50
    rest = dict(pool.run(range(50, 52), ask))
    assert set(rest) == {50, 51}


def test_without_a_server_it_says_the_last_reason():
    def ask(client, number):
        raise Unavailable(f"{client.url}: connection refused")

    with pytest.raises(RunError, match=r"no server answers: .: connection refused"):
        list(pool_of("a", "b", retries=1).run(range(3), ask))


def test_one_item_that_fails_everywhere_is_an_error_of_its_own():
    answered = threading.Event()

    def ask(client, number):
        if number == 3:
            answered.clear()
            answered.wait(timeout=10)
            time.sleep(0.02)  # until that answer was read
            raise Unavailable(f"{client.url}: 500 crash")
        time.sleep(0.001)
        answered.set()
        return number

    with pytest.raises(ModelError, match="one request fails again and again: a: 500 crash"):
        list(pool_of("a", retries=1).run(range(400), ask, at_a_time=2))


def test_other_errors_end_the_run_and_leave_the_pool_usable():
    def ask(client, number):
        if number == 1:
            raise ModelError("wrong")
        return number

    pool = pool_of("a")
    with pytest.raises(ModelError, match="wrong"):
        list(pool.run(range(3), ask))
    assert list(pool.run([5], ask)) == [(5, 5)]
    assert [lane.busy for lane in pool._lanes] == [0]


def test_requests_that_fail_together_are_one_failure():
    gate, failed = threading.Barrier(8), set()

    def ask(client, number):
        if number < 8 and number not in failed:
            failed.add(number)
            gate.wait(timeout=10)
            raise Unavailable("a: 503", overloaded=True)
        return number

    pool = pool_of("a", in_flight=8, retries=1)
    assert len(list(pool.run(range(20), ask))) == 20
    assert len(failed) == 8


def test_an_answer_that_comes_too_late_is_left_aside():
    release, tries = threading.Event(), Counter()

    def ask(client, number):
        tries[number] += 1
        if tries[number] == 1:
            release.wait(timeout=10)
            return "late"
        release.set()
        return "in time"

    assert list(pool_of("a", timeout=0.05).run([0], ask)) == [(0, "in time")]


def test_the_number_in_flight_grows_while_latency_stays_and_shrinks_when_it_does_not():
    in_flight = InFlight(16, most=30)
    for _ in range(16):
        in_flight.answered(0.1)
    assert in_flight.limit == 20
    for _ in range(20 + 25):
        in_flight.answered(0.12)
    assert in_flight.limit == 30
    for _ in range(30):
        in_flight.answered(0.25)
    assert in_flight.limit == 30, "slower, but not worse than in proportion"
    for _ in range(30):
        in_flight.answered(0.5)
    assert in_flight.limit == 23
    in_flight.overloaded()
    assert in_flight.limit == 11
    for _ in range(10):
        in_flight.overloaded()
    assert in_flight.limit == 1
