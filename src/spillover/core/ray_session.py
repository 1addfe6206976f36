"""A Ray for this process: the cluster at RAY_ADDRESS, or one that is started here and stopped at the end.

1. One that is started here listens on 127.0.0.1, answers to nobody without its token, has no dashboard, and keeps its
   files in a temporary folder. No usage statistics are sent.
2. Does a node have what a task asks for? A task that fits nowhere would wait for ever.
3. While tasks run, their progress and log lines come over an actor (`Messages`), and that the head answers is checked:
   Ray itself would end this process a minute after the head is gone.
"""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import signal
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from spillover.core.config import RayConfig
from spillover.core.errors import ConfigError, RunError, SpilloverError, first_line, missing_extra
from spillover.core.ray_task import LogLine, Messages, Step
from spillover.core.types import Progress, no_progress

log = logging.getLogger(__name__)

ADDRESS = "RAY_ADDRESS"
HERE = "local"
LOCALHOST = "127.0.0.1"
OBJECT_STORE_BYTES = 100 << 20
OUT_OF_MEMORY_RETRIES = "2"
# Seconds between two looks at what is finished, and until a head that is silent is gone.
POLL, SILENCE = 1.0, 5.0
GONE = "start it again and run the same command: what was scored is kept"


class StartedProcesses:
    """The processes below this one that are newer than this object, as far as they were looked for: those of a Ray that
    is started here. Ray's own shutdown leaves its agents behind where the head was killed, as nobody's children."""

    def __init__(self) -> None:
        import psutil

        self._psutil = psutil
        self._before = set(psutil.Process().children(recursive=True))
        self._started: set[Any] = set()

    def look(self) -> None:
        """Keep those that run now."""
        self._started |= set(self._psutil.Process().children(recursive=True)) - self._before

    def end(self) -> None:
        """Kill those that are left, and wait until they are gone."""
        self.look()
        for process in self._started:
            with contextlib.suppress(self._psutil.NoSuchProcess):
                process.kill()
        self._psutil.wait_procs(list(self._started), timeout=SILENCE)


@dataclass
class RaySession:
    """A Ray that is connected. head: host and port. messages: the handle of the actor `Messages`. processes: those of a
    Ray that was started here. progress: where the steps of tasks go."""

    ray: Any
    head: tuple[str, int]
    messages: Any
    processes: StartedProcesses | None = None
    progress: Progress = no_progress
    _silent_since: float | None = None
    _activities: dict[str, str] = field(default_factory=dict)

    def task(self, function: Callable[..., Any], config: RayConfig) -> Any:
        """`function` as a task in a process of its own, which is started again when its worker dies."""
        resources = {"num_cpus": config.num_cpus, "num_gpus": config.num_gpus}
        return self.ray.remote(max_calls=1, max_retries=config.retries, **resources)(function)

    def actor(self, kind: type[Any], config: RayConfig) -> Any:
        """`kind` as an actor, which is started again when it dies, with the calls that it has not answered."""
        resources = {"num_cpus": config.num_cpus, "num_gpus": config.num_gpus}
        return self.ray.remote(max_restarts=config.retries, max_task_retries=config.retries, **resources)(kind)

    def room(self, config: RayConfig) -> int:
        """How many tasks run at a time. ConfigError where no node has room for one."""
        nodes = [node["Resources"] for node in self.ray.nodes() if node["Alive"]]
        wanted = {"CPU": config.num_cpus, "GPU": config.num_gpus}
        for kind, number in wanted.items():
            most = max((node.get(kind, 0) for node in nodes), default=0)
            if number > most:
                raise ConfigError(
                    f"ray.num_{kind.lower()}s: {number:g}, and no node of Ray has more than {most:g}",
                    hint=f"fewer, or a cluster that has them ({ADDRESS})",
                )
        return sum(
            min(int(node.get(kind, 0) / number) for kind, number in wanted.items() if number)
            for node in nodes
            if all(node.get(kind, 0) >= number for kind, number in wanted.items())
        )

    def wait(self, pending: Sequence[Any]) -> list[Any]:
        """The first of `pending` that is finished, within a second, or none. What tasks said meanwhile is handed on.
        RunError when the head is gone."""
        if self.processes:
            self.processes.look()
        try:
            done, _ = self.ray.wait(list(pending), num_returns=1, timeout=POLL)
            self._hand_on(self.ray.get(self.messages.take.remote(), timeout=POLL))
        except self.ray.exceptions.RayError:
            done = []
        if not done:
            self._check_head()
        return list(done)

    def result(self, task: Any) -> Any:
        """What a finished task returned. The user's mistake that ended it is raised as it was; RunError when its worker
        died again and again."""
        exceptions = self.ray.exceptions
        try:
            return self.ray.get(task)
        except exceptions.RayTaskError as error:
            cause = error.cause
            if isinstance(cause, ImportError):
                cause = missing_extra(cause) or cause
            if isinstance(cause, SpilloverError):
                raise cause from None
            raise
        except (exceptions.WorkerCrashedError, exceptions.RayActorError, exceptions.OutOfMemoryError) as error:
            raise RunError(
                f"the worker of Ray died again and again: {first_line(error)}",
                hint="what was scored is kept: run the same command again; out of memory: more ray.num_cpus for each",
            ) from None

    def answer(self, task: Any) -> Any:
        """What a task returns, once it is finished."""
        while not self.wait([task]):
            pass
        return self.result(task)

    def _hand_on(self, messages: Sequence[LogLine | Step]) -> None:
        for message in messages:
            if isinstance(message, LogLine):
                log.log(message.level, "%s: %s", message.source, message.text)
                continue
            if self._activities.get(message.source) != message.activity:
                self._activities[message.source] = message.activity
                log.info("%s: %s", message.source, message.activity)
            self.progress(message.source, message.done, message.total)

    def _check_head(self) -> None:
        """RunError when the head has not answered for a while."""
        if _answers(self.head):
            self._silent_since = None
            return
        now = time.monotonic()
        self._silent_since = self._silent_since or now
        if now - self._silent_since >= SILENCE:
            raise RunError(f"Ray's head at {self.head[0]}:{self.head[1]} is gone", hint=GONE)


@contextlib.contextmanager
def ray_session(progress: Progress = no_progress) -> Iterator[RaySession]:
    """Ray, connected within the block: the cluster at RAY_ADDRESS, one that this process has connected already, or one
    started here. Only what was started here is stopped. RunError where it does not answer or does not start,
    MissingExtra where Ray is not installed."""
    address = os.environ.get(ADDRESS) or HERE
    with contextlib.ExitStack() as stack:
        stack.enter_context(_environment(_variables(address)))  # read when Ray is imported
        try:
            import ray
        except ImportError as error:
            raise missing_extra(error) or error from None
        processes = None
        if not ray.is_initialized():
            processes = StartedProcesses() if address == HERE else None
            if processes:
                stack.callback(processes.end)
            stack.enter_context(_connected(ray, address))
        host, _, port = ray.get_runtime_context().gcs_address.rpartition(":")
        messages = ray.remote(num_cpus=0)(Messages).remote()
        yield RaySession(ray, (host, int(port)), messages, processes, progress)


def _variables(address: str) -> dict[str, str]:
    """What Ray reads from the environment."""
    variables = {"RAY_USAGE_STATS_ENABLED": "0"}
    if address == HERE and not {"RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"} & set(os.environ):
        variables |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": _token()}
    if address == HERE:
        variables |= {
            "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # its name for those: 127.0.0.1 on Linux too
            "RAY_task_oom_retries": OUT_OF_MEMORY_RETRIES,  # else endless where memory runs out
            "RAY_worker_niceness": "0",  # as the same work without Ray
        }
    return variables


@cache
def _token() -> str:
    """One for this process: Ray reads it once."""
    return secrets.token_hex(32)


@contextlib.contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextlib.contextmanager
def _connected(ray: Any, address: str) -> Iterator[None]:
    here = address == HERE
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR, "configure_logging": False}
    with contextlib.ExitStack() as stack:
        if here:
            # Short: the paths of Ray's sockets are long, and the system's limit is 107 bytes.
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True))
            options |= {
                "_temp_dir": folder,
                "_node_ip_address": LOCALHOST,
                "include_dashboard": False,
                "object_store_memory": OBJECT_STORE_BYTES,
            }
        else:
            _check_address(address)
        try:
            with _own_sigterm():
                ray.init(address=address, **options)
        except Exception as error:  # noqa: BLE001  # that is what Ray raises where its processes are late
            what = "Ray does not start here" if here else f"Ray at {address} ({ADDRESS}) does not answer"
            hint = f"unset {ADDRESS} to start one here"
            if here:
                hint = "when the machine is less busy; it needs room in memory, /dev/shm and the temporary folder"
            raise RunError(f"{what}: {first_line(error)}", hint=hint) from None
        stack.callback(ray.shutdown)
        yield


def _check_address(address: str) -> None:
    """RunError where nothing listens at an address that names a port: Ray would try for a minute."""
    host, _, port = address.rpartition("//")[2].rpartition(":")
    if host and port.isdigit() and not _answers((host, int(port))):
        raise RunError(
            f"Ray at {address} ({ADDRESS}) does not answer", hint=f"start it, or unset {ADDRESS} to start one here"
        )


def _answers(address: tuple[str, int]) -> bool:
    try:
        with socket.create_connection(address, timeout=SILENCE):
            return True
    except OSError:
        return False


@contextlib.contextmanager
def _own_sigterm() -> Iterator[None]:
    """After the block SIGTERM does what it did before it: Ray sets a handler of its own."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handler = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, handler)
