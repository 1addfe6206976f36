"""Several servers of one model: who gets which item, how many at a time, and what happens when one fails.

Each item is asked on one server, in a thread; everything else happens in the thread that reads the answers.

1. A server has `in_flight` items at a time to begin with; more while its latency stays, fewer when it is overloaded.
2. A request that fails for now gives its item back, first in the queue, and the server rests: 1, 2, 4, ... seconds, or
   as long as it says. After `retries` failures without an answer in between it is dropped, and the others go on.
3. An item that fails again and again while others are answered is an error: it would bring down one server after
   another.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from spillover.core.errors import ModelError, RunError
from spillover.models.prompt_tokens import PromptTokens
from spillover.models.server_client import TIMEOUT, ServerClient, Unavailable

log = logging.getLogger(__name__)

IN_FLIGHT, MOST_IN_FLIGHT = 16, 128
RETRIES = 6
LONGEST_REST = 60.0
# A mean latency within this factor of the lowest lets the number in flight grow; above the other, it shrinks.
SAME, SLOWER = 1.5, 3.0

Value = TypeVar("Value")


class InFlight:
    """How many items one server has at a time: `limit`, adapted by the latency of its answers."""

    def __init__(self, limit: int, most: int = MOST_IN_FLIGHT) -> None:
        self.limit, self.most = limit, max(limit, most)
        self._latencies: list[float] = []
        self._lowest = float("inf")

    def answered(self, seconds: float) -> None:
        """An answer came after so many seconds a request. After `limit` of them the limit moves by a quarter."""
        self._latencies.append(seconds)
        if len(self._latencies) < self.limit:
            return
        mean = sum(self._latencies) / len(self._latencies)
        self._latencies = []
        self._lowest = min(self._lowest, mean)
        step = max(1, self.limit // 4)
        if mean <= SAME * self._lowest:
            self.limit = min(self.most, self.limit + step)
        elif mean > SLOWER * self._lowest:
            self.limit = max(1, self.limit - step)

    def overloaded(self) -> None:
        """The server says that it has too much to do."""
        self.limit = max(1, self.limit // 2)
        self._latencies = []


@dataclass(eq=False)
class _Lane:
    """One server at work. failures: since its last answer. rest_from, rest_until: of its last rest."""

    client: ServerClient
    in_flight: InFlight
    busy: int = 0
    failures: int = 0
    rest_from: float = 0.0
    rest_until: float = 0.0


@dataclass(eq=False)
class _Job(Generic[Value]):
    """One item on its way. deadline: when it is given up."""

    number: int
    lane: _Lane
    started: float
    deadline: float
    value: Value | None = None
    error: Exception | None = None


@dataclass
class _Work(Generic[Value]):
    """One list of items: those that wait, those on their way, answers, and how often each failed."""

    waiting: deque[int]
    ask: Callable[[ServerClient, int], Value]
    requests: Callable[[int], int]
    running: set[_Job[Value]] = field(default_factory=set)
    answers: queue.SimpleQueue[_Job[Value]] = field(default_factory=queue.SimpleQueue)
    failures: Counter[int] = field(default_factory=Counter)


class ServerPool:
    """Servers that hold one model. timeout: seconds for one request, from its first byte to its last."""

    def __init__(
        self,
        clients: Sequence[ServerClient],
        *,
        in_flight: int = IN_FLIGHT,
        retries: int = RETRIES,
        backoff: float = 1.0,
        timeout: float = TIMEOUT,
    ) -> None:
        self.retries, self.backoff, self.timeout = retries, backoff, timeout
        self._clients = tuple(clients)
        self._lanes = [_Lane(client, InFlight(in_flight)) for client in clients]

    @property
    def clients(self) -> list[ServerClient]:
        """The servers that are not dropped."""
        return [lane.client for lane in self._lanes]

    def take_prompt_tokens(self) -> PromptTokens:
        """Prompt tokens of the requests since this was last asked, of all servers, dropped ones too."""
        return sum((client.take_prompt_tokens() for client in self._clients), PromptTokens())

    @property
    def in_flight(self) -> int:
        """Items at a time, over all servers."""
        return sum(lane.in_flight.limit for lane in self._lanes)

    def run(
        self,
        numbers: Sequence[int],
        ask: Callable[[ServerClient, int], Value],
        *,
        requests: Callable[[int], int] = lambda number: 1,
        at_a_time: int | None = None,
        per_server: int | None = None,
    ) -> Iterator[tuple[int, Value]]:
        """(number, answer) of every item, once each, as they come. requests: how many an item takes. at_a_time: over
        all servers, per_server: on each, in place of each server's own number.

        RunError when no server is left, ModelError for an item that fails everywhere, and whatever else `ask` raises.
        """
        work = _Work(deque(numbers), ask, requests)
        try:
            while work.waiting or work.running:
                self._start(work, at_a_time, per_server)
                job = self._next_answer(work)
                if job is None:
                    continue
                if isinstance(job.error, Unavailable):
                    self._failed(work, job, job.error)
                elif job.error is not None:
                    raise job.error
                else:
                    job.lane.failures = 0
                    # The last ones do not fill the server, nor does a fixed number.
                    if work.waiting and at_a_time is None and per_server is None:
                        job.lane.in_flight.answered((time.monotonic() - job.started) / requests(job.number))
                    yield job.number, job.value  # type: ignore[misc]
        finally:
            for job in work.running:
                job.lane.busy -= 1

    def on_each(self, ask: Callable[[ServerClient], Value], *, requests: int = 1) -> list[Value]:
        """The answers of all servers to the same question, one server after another. One that does not answer is
        dropped; RunError when none is left."""
        answers = []
        for lane in list(self._lanes):
            alone = ServerPool([lane.client], retries=self.retries, backoff=self.backoff, timeout=self.timeout)
            try:
                answers += [
                    value for _, value in alone.run([0], lambda client, _: ask(client), requests=lambda _: requests)
                ]
            except RunError as error:
                self._lanes.remove(lane)
                if not self._lanes:
                    raise
                log.warning("%s; %d left", error.message, len(self._lanes))
        return answers

    def _start(self, work: _Work[Value], at_a_time: int | None, per_server: int | None) -> None:
        """Start what may start now, where the fewest are on their way."""
        now = time.monotonic()
        while work.waiting and (at_a_time is None or len(work.running) < at_a_time):
            free = [
                lane
                for lane in self._lanes
                if lane.busy < (per_server or lane.in_flight.limit) and lane.rest_until <= now
            ]
            if not free:
                return
            lane = min(free, key=lambda lane: lane.busy)
            number = work.waiting.popleft()
            job: _Job[Value] = _Job(number, lane, now, now + self.timeout * work.requests(number))
            lane.busy += 1
            work.running.add(job)
            # A daemon: an interrupted process need not wait for a server.
            threading.Thread(target=_answer, args=(job, work), daemon=True).start()

    def _next_answer(self, work: _Work[Value]) -> _Job[Value] | None:
        """The next job that ended; None when a server's rest ended first."""
        now = time.monotonic()
        ends = [lane.rest_until for lane in self._lanes if work.waiting and lane.rest_until > now]
        ends += [job.deadline for job in work.running]
        try:
            job = work.answers.get(timeout=max(0.001, min(ends, default=now) - now))
        except queue.Empty:
            late = next((job for job in work.running if job.deadline <= time.monotonic()), None)
            if late is None:
                return None
            job = late
            job.error = Unavailable(f"{job.lane.client.url}: no answer in {self.timeout:.0f} s", overloaded=True)
        if job not in work.running:  # given up before
            return None
        work.running.remove(job)
        job.lane.busy -= 1
        return job

    def _failed(self, work: _Work[Value], job: _Job[Value], error: Unavailable) -> None:
        lane, now = job.lane, time.monotonic()
        work.waiting.appendleft(job.number)
        if job.started >= lane.rest_from:  # requests that were on their way together fail together: once
            lane.failures += 1
            work.failures[job.number] += lane.failures == 1  # else it is the server that fails
            rest = min(LONGEST_REST, self.backoff * 2 ** (lane.failures - 1))
            rest = rest if error.seconds is None else error.seconds
            lane.rest_from, lane.rest_until = now, now + rest
            if error.overloaded:
                lane.in_flight.overloaded()
            log.log(logging.INFO if rest >= 1 else logging.DEBUG, "%s; next try in %.0f s", error, rest)
        if lane.failures > self.retries and lane in self._lanes:
            self._lanes.remove(lane)
            if self._lanes:
                log.warning("%s: dropped after %d failures; %d left", error, lane.failures, len(self._lanes))
        if not self._lanes:
            raise RunError(
                f"no server answers: {error}",
                hint="what is done is kept: start the server again, and rerun the same command",
            )
        if work.failures[job.number] > self.retries + len(self._clients):
            raise ModelError(
                f"one request fails again and again: {error}", hint="the server's log says why; what is done is kept"
            )


def _answer(job: _Job[Value], work: _Work[Value]) -> None:
    """Ask for one item, and put the job with its answer or error where the reader finds it."""
    try:
        job.value = work.ask(job.lane.client, job.number)
    except Exception as error:  # noqa: BLE001  # raised again by the reader
        job.error = error
    work.answers.put(job)
