"""Tiny random translation models with the tokenizers of their families, and a server that writes text."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any

import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers

from spillover.core.languages import language
from tests.models.fake_server import QuietServer

ENGLISH, GERMAN, CHINESE, SWAHILI = map(language, ("en", "de", "zh", "sw"))
LETTERS = "▁abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.,!?0123456789äöüß"


def nllb_tokenizer() -> transformers.PreTrainedTokenizerBase:
    vocabulary = {token: i for i, token in enumerate(["<s>", "<pad>", "</s>", "<unk>", *LETTERS])}
    codes = ["eng_Latn", "deu_Latn", "zho_Hans", "zho_Hant", "swh_Latn"]
    return transformers.NllbTokenizer(vocab=vocabulary, merges=[], extra_special_tokens=codes)


def nllb_model(seed: int = 0) -> tuple[Any, Any]:
    """(module, tokenizer): NLLB's architecture, two layers."""
    tokenizer = nllb_tokenizer()
    config = transformers.M2M100Config(
        vocab_size=len(tokenizer), d_model=16, encoder_layers=2, decoder_layers=2, encoder_attention_heads=2,
        decoder_attention_heads=2, encoder_ffn_dim=32, decoder_ffn_dim=32, max_position_embeddings=64, pad_token_id=1,
        bos_token_id=0, eos_token_id=2, decoder_start_token_id=2,
    )  # fmt: skip
    return random_module(transformers.M2M100ForConditionalGeneration(config), seed), tokenizer


def madlad_tokenizer(*codes: str) -> transformers.PreTrainedTokenizerBase:
    """T5's pieces with language tokens such as <2de>, as MADLAD's."""
    tokens = ["<pad>", "</s>", "<unk>", *LETTERS]
    tokenizer = Tokenizer(models.WordLevel({token: i for i, token in enumerate(tokens)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Metaspace(), pre_tokenizers.Split("", "isolated")]
    )
    tokenizer.add_tokens([f"<2{code}>" for code in codes])
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>", unk_token="<unk>"
    )


def t5_model(tokenizer: Any, seed: int = 1, **options: Any) -> tuple[Any, Any]:
    config = transformers.T5Config(
        vocab_size=len(tokenizer), d_model=16, d_kv=8, d_ff=32, num_layers=2, num_heads=2, pad_token_id=0,
        eos_token_id=1, decoder_start_token_id=0,
        tie_word_embeddings=False, **options,
    )  # fmt: skip
    return random_module(transformers.T5ForConditionalGeneration(config), seed), tokenizer


def random_module(module: Any, seed: int) -> Any:
    torch.manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.dim() > 1:
                parameter.normal_(0, 1)
    return module.eval()


@dataclass
class WritingServer:
    """A chat and completion server. write: the last line of a prompt → what it writes. faults: see the code."""

    write: Callable[[str], str] = lambda text: f"<{text}>"
    faults: set[str] = field(default_factory=set)
    key: str | None = None
    fails: int = 0
    asked: list[dict[str, Any]] = field(default_factory=list)
    url: str = ""

    def answer(self, path: str, body: dict[str, Any]) -> tuple[int, Any]:
        if "html" in self.faults:
            return 200, "<html>nginx</html>"
        if path == "/v1/models":
            return 200, {"data": [{"id": "writer"}, {"id": "other"}]}
        if "no-chat" in self.faults and path == "/v1/chat/completions":
            return 404, {"detail": "Not Found"}
        if path not in ("/v1/chat/completions", "/v1/completions"):
            return 404, {"detail": "Not Found"}
        self.asked.append(body)
        if self.fails:
            self.fails -= 1
            return 503, {"error": {"message": "overloaded"}}
        if "empty" in self.faults:
            return 200, {"choices": []}
        prompt = body["prompt"] if "prompt" in body else body["messages"][-1]["content"]
        lines = prompt.split("\n")
        text = lines[-2].partition(": ")[2] if "prompt" in body else lines[-1]
        if "short-context" in self.faults and len(text) > 20:
            return 400, {"error": {"message": "This model's maximum context length is 20 tokens."}}
        finish = "length" if "cuts" in self.faults else "stop"
        choice = {"finish_reason": finish} | (
            {"text": self.write(text)} if "prompt" in body else {"message": {"content": self.write(text)}}
        )
        return 200, {"choices": [choice]}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    fake: WritingServer

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        self._reply({})

    def do_POST(self) -> None:
        self._reply(json.loads(self.rfile.read(int(self.headers["content-length"]))))

    def _reply(self, body: dict[str, Any]) -> None:
        if self.fake.key and self.headers.get("authorization") != f"Bearer {self.fake.key}":
            status, answer = 401, {"error": "Unauthorized"}
        else:
            status, answer = self.fake.answer(self.path, body)
        data = (answer if isinstance(answer, str) else json.dumps(answer)).encode()
        with contextlib.suppress(ConnectionError):
            self.send_response(status)
            self.send_header("content-type", "text/html" if isinstance(answer, str) else "application/json")
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            for byte in data if "drips" in self.fake.faults and body else b"":
                self.wfile.write(bytes([byte]))
                self.wfile.flush()
                time.sleep(0.05)
            if not ("drips" in self.fake.faults and body):
                self.wfile.write(data)


@contextlib.contextmanager
def writing(fake: WritingServer) -> Iterator[str]:
    """The address of the server, which answers within the block."""
    server = QuietServer(("127.0.0.1", 0), type("OwnHandler", (_Handler,), {"fake": fake}))
    fake.url = f"http://127.0.0.1:{server.server_address[1]}"
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    try:
        yield fake.url
    finally:
        server.shutdown()
        server.server_close()
