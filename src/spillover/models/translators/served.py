"""A chat or completion server as a translator: a few-shot prompt for each line, temperature 0.

1. At first contact the server lists its models; one that lacks the name is refused.
2. Lines are asked `batch` at a time, through the same queue that scoring uses: what fails for now is asked again.
3. On a retry the examples stand in the reverse order: at temperature 0 the server would repeat itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from spillover.core.config import TranslatorConfig
from spillover.core.errors import ModelError, RunError
from spillover.core.files import hash_of
from spillover.core.types import Language
from spillover.models.served_model import FIRST_CONTACT_RETRIES, check_address
from spillover.models.server_client import ContextExceeded, ServerClient
from spillover.models.server_pool import RETRIES, ServerPool
from spillover.models.translators.few_shot import Sentences, chat_messages, continued_text, examples
from spillover.models.translators.translator import Line, by_line, unfinished

PATHS = {"chat": "/v1/chat/completions", "completion": "/v1/completions"}
NEEDED = (
    "any server with OpenAI's API translates; --api completion asks /v1/completions, --api chat /v1/chat/completions"
)


class ServedTranslator:
    """A model on a server. config: with server and name. sentences: as `few_shot.examples`. fingerprint: of what the
    server says of the model, as nothing else of it is known. ModelError or ConfigError where the server does not
    answer, or does not serve the model."""

    def __init__(
        self,
        config: TranslatorConfig,
        *,
        sentences: Sentences | None = None,
        retries: int = RETRIES,
        backoff: float = 1.0,
    ) -> None:
        url, name = config.server or "", config.name or ""
        check_address(url, "translate.translator.server")
        self.config, self.name, self.sentences = config, name, sentences
        client = ServerClient(url, timeout=config.timeout, needed=NEEDED)
        first = ServerPool([client], retries=FIRST_CONTACT_RETRIES, backoff=backoff, timeout=config.timeout)
        try:
            (cards,) = first.on_each(ServerClient.models)
        except RunError as error:
            raise ModelError(error.message, hint="is it up, and is the port right?") from None
        card = next((card for card in cards if card["id"] == name), None)
        if card is None:
            served = ", ".join(str(card["id"]) for card in cards) or "nothing"
            raise ModelError(f"{client.url}: does not serve {name!r}", hint=f"--name: it serves {served}")
        self.fingerprint = hash_of(["server", name, card.get("root"), client.version(), config.api])
        self._pool = ServerPool([client], retries=retries, backoff=backoff, timeout=config.timeout)

    def prompt(self, source: Language, target: Language) -> str:
        """The prompt, turns of a chat one after the other, with {text} in place of a line."""
        shots = examples(self.config, source, target, self.sentences)
        if self.config.api == "completion":
            return continued_text(shots, source, target)
        turns = chat_messages(shots, source, target)
        return "\n\n".join(f"[{turn['role']}]\n{turn['content']}" for turn in turns)

    def translate(self, texts: Sequence[str], source: Language, target: Language, *, retry: bool = False) -> list[str]:
        """As `Translator.translate`; a retry has the examples in the reverse order."""
        shots = examples(self.config, source, target, self.sentences)
        shots = shots[::-1] if retry else shots
        path = PATHS[self.config.api]

        def translate_lines(lines: list[str]) -> list[Line]:
            bodies = [self._body(shots, source, target, line) for line in lines]
            answers = self._pool.run(
                range(len(bodies)), lambda client, number: self._line(client, path, bodies[number]),
                at_a_time=self.config.batch,
            )  # fmt: skip
            try:
                by_number = dict(answers)
            except RunError as error:
                raise ModelError(error.message, hint=error.hint) from None
            return [by_number[number] for number in range(len(bodies))]

        return by_line(self.name, texts, translate_lines)

    def _body(self, shots: Sequence[tuple[str, str]], source: Language, target: Language, line: str) -> dict[str, Any]:
        body: dict[str, Any] = {"model": self.name, "max_tokens": self.config.max_new_tokens}
        if self.config.api == "completion":
            return body | {"prompt": continued_text(shots, source, target, line), "stop": ["\n"]}
        return body | {"messages": chat_messages(shots, source, target, line)}

    def _line(self, client: ServerClient, path: str, body: dict[str, Any]) -> Line:
        try:
            text, ended = client.written(path, body)
        except ContextExceeded as error:
            return Line("", f"too long for the server: {error.message}")
        text = text.strip()
        if not ended:
            return Line(text, unfinished(self.config.max_new_tokens))
        lines = [line.strip() for line in text.split("\n") if line.strip()]
        problem = f"one line was answered with {len(lines)}" if len(lines) > 1 else ""
        return Line(" ".join(lines), problem)
