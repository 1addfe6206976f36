"""A real vLLM server, started as a user would: by a script of examples/serving."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx2 as httpx

START = Path(__file__).parents[2] / "examples" / "serving" / "cpu.sh"
STARTS_WITHIN = 600.0
ENDS_WITHIN = 60.0
NAME = "served"


@dataclass(frozen=True)
class VllmServer:
    """url: its address. process: the leader of its process group, which is its alone. log: what it prints."""

    url: str
    process: subprocess.Popen[bytes]
    log: Path

    def kill(self) -> None:
        """End it as a crash would: all its processes at once, without a chance to answer."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def stop(self) -> None:
        """Ask it to end, and kill what has not ended in time."""
        self.process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(timeout=ENDS_WITHIN)
        self.kill()


@contextlib.contextmanager
def vllm_server(
    model: str, log: Path, *, python: str, adapters: dict[str, Path] | None = None, **settings: str
) -> Iterator[VllmServer]:
    """A server of the model folder `model`, by the name "served", and of its adapters by theirs; it answers within the
    block. python: of an environment with vLLM. settings: environment variables of the script and of vLLM.

    RuntimeError with the end of its log where it does not start."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    own = {"PYTHON": python, "PORT": str(port), "NAME": NAME, "HF_HUB_OFFLINE": "1"} | settings
    command = ["sh", str(START), model, *(f"{name}={folder}" for name, folder in (adapters or {}).items())]
    with log.open("wb") as file:
        process = subprocess.Popen(
            command, env=os.environ | own, stdout=file, stderr=subprocess.STDOUT, start_new_session=True
        )
    server = VllmServer(f"http://127.0.0.1:{port}", process, log)
    try:
        _wait_for(server)
        yield server
    finally:
        if process.poll() is not None:  # its log may be gone when somebody looks
            print(f"vLLM had ended ({process.returncode}):\n{_end_of(log)}")
        server.stop()


def _wait_for(server: VllmServer) -> None:
    end = time.monotonic() + STARTS_WITHIN
    while time.monotonic() < end and server.process.poll() is None:
        with contextlib.suppress(httpx.HTTPError):
            if httpx.get(f"{server.url}/v1/models").status_code == 200:
                return
        time.sleep(0.5)
    raise RuntimeError(f"vLLM did not start:\n{_end_of(server.log)}")


def _end_of(log: Path) -> str:
    return log.read_text(encoding="utf-8", errors="replace")[-3000:] if log.exists() else "(no log)"
