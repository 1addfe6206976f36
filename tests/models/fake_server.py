"""A server of vLLM's dialect for tests: `http.server`, answering from tiny models, with a switch for each fault.

What it says is what vLLM 0.32.0 says (test_vllm.py compares the two); what we never read is left out."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import torch

from spillover.models.load import Model

# Of all servers: many tests ask the same of the same model.
LOGPROBS: dict[tuple[Any, tuple[int, ...]], tuple[torch.Tensor, list[float]]] = {}
LOCK = threading.Lock()
OFFSETS = {"logits": 5.0, "too-small": -3.0}
# Tokens of a block of the prefix cache: whole blocks are shared.
BLOCK = 16


def refusal(status: int, kind: str, message: str, parameter: str) -> dict[str, Any]:
    return {"error": {"message": message, "type": kind, "param": parameter, "code": status}}


@dataclass
class FakeServer:
    """models: by served name. parents: adapter → base. faults: see the code that looks for each. dies_after: requests
    for completions after which it closes every connection. key: what it wants as a key."""

    models: Mapping[str, Model]
    parents: Mapping[str, str] = field(default_factory=dict)
    faults: set[str] = field(default_factory=set)
    dies_after: int | None = None
    key: str | None = None
    max_model_len: int = 4096
    version: str = "0.32.0"
    root: str = "/models/tiny"
    roots: Mapping[str, str] = field(default_factory=dict)
    """Of adapters."""
    seconds: float = 0.0
    fails: int = 0
    """So many completions are answered with the fault `429` or `500`, after `fails_from` that are not."""
    fails_from: int = 0
    completions: list[dict[str, Any]] = field(default_factory=list)
    most_at_once: int = 0
    url: str = ""
    _at_once: int = 0
    _blocks: set[tuple[str, tuple[int, ...]]] = field(default_factory=set)
    _lock: Any = field(default_factory=threading.Lock)

    @property
    def dead(self) -> bool:
        return self.dies_after is not None and len(self.completions) >= self.dies_after

    def logprobs(self, name: str, ids: tuple[int, ...]) -> tuple[torch.Tensor, list[float]]:
        """([vocab] after the text, that of each token but the first)."""
        module = self.models[name].module
        with LOCK:
            if (module, ids) not in LOGPROBS:
                with torch.inference_mode():
                    rows = module(torch.tensor([ids]), use_cache=False).logits[0].float().log_softmax(-1)
                LOGPROBS[module, ids] = rows[-1].clone(), [float(rows[at - 1, ids[at]]) for at in range(1, len(ids))]
            return LOGPROBS[module, ids]

    def cached(self, name: str, ids: tuple[int, ...], *, reads: bool) -> int:
        """How many of a prompt's tokens the prefix cache holds; its last one is always computed. They then are in it.
        reads: whether the request may read from it."""
        ends = range(BLOCK, len(ids) + 1, BLOCK)
        with self._lock:
            known = [end for end in ends if end < len(ids) and (name, ids[:end]) in self._blocks]
            self._blocks |= {(name, ids[:end]) for end in ends}
        return max(known, default=0) if reads else 0

    @contextlib.contextmanager
    def counted(self, body: dict[str, Any]) -> Iterator[None]:
        with self._lock:
            self.completions.append(body)
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            yield
        finally:
            with self._lock:
                self._at_once -= 1

    def complete(self, body: dict[str, Any]) -> tuple[int, Any]:
        """(status, answer) of /v1/completions."""
        if "no-completions" in self.faults:
            return 404, {"detail": "Not Found"}
        if body["model"] not in self.models and "any-model" not in self.faults:
            served = ", ".join(name for name in self.models if name not in self.parents)
            message = f"The model `{body['model']}` does not exist. Valid aliases: {served}."
            return 404, refusal(404, "NotFoundError", message, "model")
        name = body["model"] if body["model"] in self.models else next(iter(self.models))
        if "adapter-off" in self.faults:
            name = self.parents.get(name, name)
        model, prompt = self.models[name], body["prompt"]
        if isinstance(prompt, str):
            prompt = model.tokenizer(prompt).input_ids
        elif "text-only" in self.faults:
            return 422, {"error": {"message": "Input should be a valid string"}}
        if len(prompt) + body["max_tokens"] > self.max_model_len:
            message = (
                f"This model's maximum context length is {self.max_model_len} tokens. However, your prompt contains "
                f"{len(prompt)} input tokens, which exceeds this limit even without any output tokens. Please reduce "
                f"the length of the input prompt. (parameter=input_tokens, value={len(prompt)})"
            )
            return 400, refusal(400, "BadRequestError", message, "input_tokens")
        ids = (1, *prompt) if "adds-bos" in self.faults else tuple(prompt)
        last, own = self.logprobs(name, ids)
        echo = body.get("echo") and "no-echo" not in self.faults
        logprobs = self._echoed(ids, last, own) if echo else self._next(body, last)
        answer = {
            "model": body["model"],
            "choices": [{"index": 0, "logprobs": logprobs}],
            "usage": {
                "prompt_tokens": len(ids),
                "total_tokens": len(ids) + 1,
                "completion_tokens": 1,
                "prompt_tokens_details": {"cached_tokens": self.cached(name, ids, reads=not echo)},
            },
        }
        if "silent-cache" in self.faults:
            answer["usage"]["prompt_tokens_details"] = None
        if "no-logprobs" in self.faults:
            answer["choices"][0]["logprobs"] = None
        if "no-choices" in self.faults:
            answer["choices"] = []
        return 200, answer

    def _next(self, body: dict[str, Any], row: torch.Tensor) -> dict[str, Any]:
        if "processed" in self.faults:
            row = (row / (body["temperature"] or 1)).log_softmax(-1)
        for fault, offset in OFFSETS.items():
            if fault in self.faults:
                row = row + offset
        best = int(row.argmax())
        asked = body.get("logprob_token_ids") or []
        if "ignores-fields" in self.faults:
            asked = row.topk(5).indices.tolist()
        if "missing-label" in self.faults:
            asked = asked[:-1]
        top = {f"token_id:{token}": float(row[token]) for token in {*asked, best}}
        if "missing-label" in self.faults:
            top.pop(f"token_id:{body['logprob_token_ids'][-1]}", None)
        if "reordered" in self.faults:
            top = dict(sorted(top.items(), reverse=True))
        if "nan" in self.faults:
            top = dict.fromkeys(top, float("nan"))
        if "string-keys" in self.faults:
            top = {f"word {key}": value for key, value in top.items()}
        return {"tokens": [f"token_id:{best}"], "token_logprobs": [float(row[best])], "top_logprobs": [top]}

    def _echoed(self, ids: tuple[int, ...], last: torch.Tensor, own: list[float]) -> dict[str, Any]:
        if "shifted-echo" in self.faults:
            own = [*own[1:], 0.0]
        best = int(last.argmax())
        return {
            "tokens": [f"token_id:{token}" for token in (*ids, best)],
            "token_logprobs": [None, *own, float(last[best])],
        }

    def card(self, name: str) -> dict[str, Any]:
        """What /v1/models says of a model, or of an adapter."""
        card = {"id": name, "object": "model", "owned_by": "vllm"}
        if name in self.parents:
            return card | {
                "root": self.roots.get(name, f"/adapters/{name}"),
                "parent": self.parents[name],
                "max_model_len": None,
            }
        return card | {"root": self.root, "parent": None, "max_model_len": self.max_model_len}

    def answer(self, method: str, path: str, body: dict[str, Any]) -> tuple[int, Any]:
        if "html" in self.faults:
            return 200, "<html><body>Welcome to nginx!</body></html>"
        if "redirect" in self.faults:
            return 302, ""
        if path == "/v1/models":
            return 200, {"object": "list", "data": [self.card(name) for name in self.models]}
        if path == "/version" and self.version:
            return 200, {"version": self.version}
        if path == "/tokenize" and "no-tokenize" not in self.faults:
            ids = self.models[body["model"]].tokenizer(body["prompt"], add_special_tokens=False).input_ids
            return 200, {"tokens": [*ids[:3], ids[3] + 1, *ids[4:]] if "other-tokenizer" in self.faults else ids}
        if path == "/v1/completions":
            with self.counted(body):
                time.sleep(self.seconds)
                if self.fails and len(self.completions) > self.fails_from:
                    self.fails -= 1
                    status = 500 if "500" in self.faults else 429
                    return status, {"error": {"message": "EngineCore encountered an issue"}}
                return self.complete(body)
        return 404, {"detail": "Not Found"}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else the body, which is written after the head, waits 40 ms for its receipt
    fake: FakeServer

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        self._reply("GET", {})

    def do_POST(self) -> None:
        self._reply("POST", json.loads(self.rfile.read(int(self.headers["content-length"]))))

    def _reply(self, method: str, body: dict[str, Any]) -> None:
        if self.fake.dead:
            self.close_connection = True
            return
        if self.fake.key and self.headers.get("authorization") != f"Bearer {self.fake.key}":
            status, answer = 401, {"error": "Unauthorized"}
        else:
            status, answer = self.fake.answer(method, self.path, body)
        if self.fake.dead and self.path == "/v1/completions":
            self.close_connection = True
            return
        data = (answer if isinstance(answer, str) else json.dumps(answer)).encode()
        with contextlib.suppress(ConnectionError):
            self.send_response(status)
            self.send_header("content-type", "text/html" if isinstance(answer, str) else "application/json")
            self.send_header("content-length", str(len(data)))
            if status == 429:
                self.send_header("retry-after", "0.01")
            self.end_headers()
            if "drips" in self.fake.faults and self.path == "/v1/completions":
                for byte in data:
                    self.wfile.write(bytes([byte]))
                    self.wfile.flush()
                    time.sleep(0.05)
            self.wfile.write(data)


class QuietServer(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def handle_error(self, *_: Any) -> None:
        """A client that went away is no failure of a test."""


@contextlib.contextmanager
def serving(*fakes: FakeServer) -> Iterator[list[str]]:
    """The addresses of these servers, which answer within the block."""
    servers = []
    for fake in fakes:
        handler = type("OwnHandler", (Handler,), {"fake": fake})
        server = QuietServer(("127.0.0.1", 0), handler)
        fake.url = f"http://127.0.0.1:{server.server_address[1]}"
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        servers.append(server)
    try:
        yield [fake.url for fake in fakes]
    finally:
        for server in servers:
            server.shutdown()
            server.server_close()
