"""One server that speaks vLLM's dialect of `/v1/completions`: what it is asked, and what it must answer.

For scores, prompts are token ids, never text, and answers are read by token id. Sampling and penalties are switched off
in every request. An answer that lacks a token, or that cannot be a distribution's log-probabilities, is an error, never
a score. For text that it writes (`written`), any server with OpenAI's API will do.
"""

from __future__ import annotations

import math
import os
import re
import threading
import weakref
from collections.abc import Mapping, Sequence
from typing import Any

try:
    import httpx2 as httpx
except ImportError:  # its name before, which Python 3.10 gets
    import httpx  # type: ignore[no-redef]

from spillover.core.config import KEY_VARIABLE
from spillover.core.errors import ModelError, first_line
from spillover.models.prompt_tokens import PromptTokens

TIMEOUT = 300.0
RETRIED = (408, 429, 500, 502, 503, 504)
TOKEN = "token_id:"
NEUTRAL = {"temperature": 0, "top_p": 1, "presence_penalty": 0, "frequency_penalty": 0, "repetition_penalty": 1}
# Sums of 32-bit numbers that were rounded on their way.
ROUNDING = 1e-3
# The most probable of a million tokens, of which no vocabulary has so many, has at least this log-probability.
LEAST_HIGHEST = -math.log(1e6)
# What vLLM writes for minus infinity.
CLAMPED = -9999.0
# As vLLM, llama.cpp, TGI and OpenAI say it.
TOO_LONG = re.compile(r"context (length|size|window)|maximum.*tokens|too many tokens|inputs? tokens", re.IGNORECASE)
NEEDED = "start it with vLLM (examples/serving); llama-cpp-python, TGI and chat-only APIs give no such scores"


class Unavailable(Exception):
    """A request that may succeed later, or on another server. seconds: how long the server asks to wait, None where it
    doesn't. overloaded: whether fewer requests at a time would help."""

    def __init__(self, reason: str, *, seconds: float | None = None, overloaded: bool = False) -> None:
        super().__init__(reason)
        self.seconds = seconds
        self.overloaded = overloaded


class ContextExceeded(ModelError):
    """A prompt that, with its answer, is longer than the server's context."""


class ServerClient:
    """Requests to one server. url: with or without the final `/v1`. timeout: seconds without a byte. needed: what to do
    about a server that cannot answer what it is asked, for messages.

    has_adapters: whether `models` has listed any. The key of `SPILLOVER_API_KEY` is sent where that is set, and is kept
    nowhere. Every method raises `Unavailable` or a ModelError that says what the server did."""

    def __init__(self, url: str, *, timeout: float = TIMEOUT, needed: str = NEEDED) -> None:
        self.needed = needed
        self.url = url.rstrip("/").removesuffix("/v1")
        self.has_adapters = False
        self._prompt_tokens = PromptTokens()
        self._counting = threading.Lock()
        key = os.environ.get(KEY_VARIABLE)
        # No redirects: the key is for this server alone.
        self._http = httpx.Client(
            base_url=self.url,
            headers={"Authorization": f"Bearer {key}"} if key else {},
            verify=self.url.startswith("https:"),  # to read the certificates takes a while
            timeout=httpx.Timeout(timeout, connect=min(10.0, timeout)),
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=256),
        )
        weakref.finalize(self, self._http.close)

    def take_prompt_tokens(self) -> PromptTokens:
        """Prompt tokens of the requests since this was last asked."""
        with self._counting:
            taken, self._prompt_tokens = self._prompt_tokens, PromptTokens()
        return taken

    def models(self) -> list[dict[str, Any]]:
        """What it serves, one entry a model or adapter."""
        answer = self._asked("GET", "/v1/models")
        rows = answer.get("data")
        if not isinstance(rows, list) or not all(isinstance(row, dict) and "id" in row for row in rows):
            raise ModelError(f"{self.url}: /v1/models lists no models", hint=self.needed)
        self.has_adapters = any(row.get("parent") for row in rows)
        return rows

    def version(self) -> str | None:
        """Its version; None where it does not say."""
        try:
            version = self._asked("GET", "/version").get("version")
        except ModelError:
            return None
        return str(version) if version else None

    def token_ids(self, model: str, text: str) -> list[int] | None:
        """The tokens of a text without special ones; None where it does not say."""
        try:
            answer = self._asked("POST", "/tokenize", {"model": model, "prompt": text, "add_special_tokens": False})
        except ModelError:
            return None
        tokens = answer.get("tokens")
        return tokens if isinstance(tokens, list) else None

    def text_length(self, model: str, text: str) -> int:
        """How many tokens it makes of a text, special ones too."""
        answer = self._completion({"model": model, "prompt": text, "max_tokens": 1, **NEUTRAL})
        return int(answer.get("usage", {}).get("prompt_tokens", -1))

    def next_token(
        self, model: str, prompt: Sequence[int], tokens: Sequence[int], sampling: Mapping[str, float] = NEUTRAL
    ) -> dict[int, float]:
        """Natural log-probability of each of `tokens` after the prompt, over the whole vocabulary."""
        body = {"model": model, "prompt": list(prompt), "max_tokens": 1, "logprobs": 1, **sampling}
        body |= {"logprob_token_ids": list(tokens), "return_tokens_as_token_ids": True}
        logprobs = self._logprobs(body, model, len(prompt))
        try:
            returned = {_token_id(key): value for key, value in logprobs["top_logprobs"][0].items()}
            highest = float(logprobs["token_logprobs"][0])
        except (KeyError, IndexError, TypeError, ValueError, AttributeError):
            raise self._no_scores("log-probabilities of the next token by token id") from None
        missing = [token for token in tokens if token not in returned]
        if missing:
            raise ModelError(
                f"{self.url}: its answer lacks {len(missing)} of the {len(tokens)} tokens that were asked for "
                f"(first: {missing[0]}): it ignores logprob_token_ids",
                hint="use a newer vLLM; " + NEEDED,
            )
        found = {token: self._checked(returned[token]) for token in tokens}
        self._check_distribution(found, highest, greedy=sampling is NEUTRAL)
        return found

    def whole_text(self, model: str, text: Sequence[int]) -> list[float]:
        """Natural log-probability of each token of a text after those before it; NaN for the first."""
        body = {"model": model, "prompt": list(text), "max_tokens": 1, "logprobs": 1, "echo": True, **NEUTRAL}
        logprobs = self._logprobs(body | {"return_tokens_as_token_ids": True}, model, len(text))
        try:
            echoed = [_token_id(token) for token in logprobs["tokens"][: len(text)]]
            values = [float("nan"), *(self._checked(value) for value in logprobs["token_logprobs"][1 : len(text)])]
        except (KeyError, TypeError, ValueError):
            raise self._no_scores("log-probabilities of a text's tokens (echo)") from None
        if echoed != list(text) or len(values) != len(text):
            raise self._no_scores("the tokens of a text as they were sent (echo)")
        return values

    def written(self, path: str, body: Mapping[str, Any]) -> tuple[str, bool]:
        """(text that it writes, whether it came to an end before `max_tokens`). path: /v1/chat/completions or
        /v1/completions; body: the request, greedy unless it says otherwise."""
        answer = self._asked("POST", path, {"temperature": 0} | dict(body))
        try:
            (choice,) = answer["choices"]
            text = choice["message"]["content"] if "message" in choice else choice["text"]
            finish = choice.get("finish_reason")
        except (KeyError, TypeError, ValueError, AttributeError):
            text, finish = 0, None
        if not isinstance(text, str | None):
            raise ModelError(f"{self.url}: {path} answers without one text", hint=self.needed)
        return text or "", finish != "length"

    def _logprobs(self, body: Mapping[str, Any], model: str, length: int) -> dict[str, Any]:
        """The log-probabilities of the one answer, after checks that it answers what was asked."""
        answer = self._completion(body)
        choices = answer.get("choices")
        logprobs = choices[0].get("logprobs") if isinstance(choices, list) and len(choices) == 1 else None
        if not isinstance(logprobs, dict):
            raise self._no_scores("one answer with log-probabilities")
        if answer.get("model", model) != model:
            raise ModelError(f"{self.url}: asked for {model!r}, it answers as {answer['model']!r}", hint=NEEDED)
        usage = answer.get("usage") or {}
        read = usage.get("prompt_tokens", length)
        if read != length:
            raise ModelError(
                f"{self.url}: was sent {length} tokens and read {read}: it adds to prompts, or cuts them", hint=NEEDED
            )
        details = usage.get("prompt_tokens_details")
        cached = details.get("cached_tokens") if isinstance(details, dict) else None
        with self._counting:
            self._prompt_tokens += PromptTokens(length, cached if isinstance(cached, int) else None)
        return logprobs

    def _checked(self, value: Any) -> float:
        if not isinstance(value, (int, float)) or not CLAMPED < value <= ROUNDING:
            raise ModelError(
                f"{self.url}: {value!r} is no log-probability", hint="start it with --logprobs-mode raw_logprobs"
            )
        return min(float(value), 0.0)

    def _check_distribution(self, found: Mapping[int, float], highest: float, *, greedy: bool) -> None:
        """That these can be log-probabilities of one distribution; logits, or those after a mask, cannot. highest: of
        the token that was chosen, the most probable one where the choice was greedy."""
        mass = math.fsum(map(math.exp, found.values()))
        wrong = not LEAST_HIGHEST <= highest <= ROUNDING or max(found.values()) > highest + ROUNDING
        if mass > 1 + ROUNDING or (greedy and wrong):
            raise ModelError(
                f"{self.url}: its values are no log-probabilities of a distribution (sum of probabilities {mass:.3f}, "
                f"highest {max(found.values()):.3f}, of the most probable token {highest:.3f})",
                hint="start it with --logprobs-mode raw_logprobs",
            )

    def _no_scores(self, lacking: str) -> ModelError:
        return ModelError(f"{self.url}: does not give {lacking}, so nothing can be scored exactly", hint=NEEDED)

    def _completion(self, body: Mapping[str, Any]) -> dict[str, Any]:
        return self._asked("POST", "/v1/completions", body)

    def _asked(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """The JSON object that a request is answered with."""
        try:
            response = self._http.request(method, path, json=body)
        except httpx.TimeoutException:
            raise Unavailable(f"{self.url}: no answer in time", overloaded=True) from None
        except httpx.HTTPError as error:
            raise Unavailable(f"{self.url}: {first_line(error)}") from None
        except (httpx.InvalidURL, UnicodeError) as error:
            raise ModelError(f"{self.url}: no address of a server: {first_line(error)}", hint=ADDRESS) from None
        self._check_status(response, path)
        try:
            answer = response.json()
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            kind = response.headers.get("content-type", "no type").partition(";")[0]
            raise ModelError(
                f"{self.url}: {path} answers with {kind}, not a JSON object", hint=f"another port? {ADDRESS}"
            )
        return answer

    def _check_status(self, response: httpx.Response, path: str) -> None:
        status = response.status_code
        if status == 200:
            return
        reason = f"{self.url}: {path}: {status} {_reason(response)}".strip()
        if "valid string" in reason:
            raise ModelError(f"{self.url}: takes prompts as text alone, not as token ids", hint=NEEDED)
        if status in RETRIED:
            raise Unavailable(reason, seconds=_seconds(response), overloaded=status in (429, 500, 503))
        if status in (401, 403):
            sent = "refused the key" if "authorization" in response.request.headers else "wants a key"
            raise ModelError(f"{self.url}: {sent} ({status})", hint=f"put the server's key into {KEY_VARIABLE}")
        if status == 404 and path.endswith("/completions") and "model" not in reason.lower():
            raise ModelError(f"{self.url}: has no {path}", hint=self.needed)
        if status in (400, 413, 422) and TOO_LONG.search(reason):
            raise ContextExceeded(reason, hint="a shorter prompt, or a server with a longer context")
        raise ModelError(reason, hint=ADDRESS if 300 <= status < 400 or status == 404 else self.needed)


def address_of(url: str) -> str:
    """Host and port of a server's address."""
    return url.rstrip("/").removesuffix("/v1").partition("://")[2]


ADDRESS = "give the address that `vllm serve` prints, as in http://127.0.0.1:8000"


def _token_id(key: str) -> int:
    """The id in `token_id:N`; ValueError for any other key."""
    return int(key.removeprefix(TOKEN)) if key.startswith(TOKEN) else int("no id")


def _reason(response: httpx.Response) -> str:
    """The sentence in which a server says why it refuses; "" for a page."""
    try:
        answer = response.json()
    except ValueError:
        return ""
    error = answer.get("error", answer) if isinstance(answer, dict) else answer
    message = error.get("message", error.get("detail", "")) if isinstance(error, dict) else error
    return " ".join(str(message).split())[:300]


def _seconds(response: httpx.Response) -> float | None:
    """What Retry-After asks for in seconds; None where it is missing or a date."""
    try:
        seconds = float(response.headers.get("retry-after", ""))
    except ValueError:
        return None
    return seconds if 0 <= seconds < math.inf else None
