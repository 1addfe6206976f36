"""The prompt that makes a language model translate: an instruction, examples, and the text.

As continued text for a causal model and a completion server, as turns for a chat server.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

from spillover.core.config import TranslatorConfig
from spillover.core.errors import ConfigError, DataError
from spillover.core.files import read_jsonl
from spillover.core.languages import unrelated_sentences
from spillover.core.types import Language

log = logging.getLogger(__name__)

Examples = Sequence[tuple[str, str]]
Sentences = Mapping[str, Sequence[str]]
"""Parallel sentences by language: the same position is the same sentence."""

INSTRUCTION = "Translate from {source} to {target}."
CHAT_INSTRUCTION = INSTRUCTION + " Answer with the translation alone."
TEXT = "{text}"


def examples(
    config: TranslatorConfig, source: Language, target: Language, sentences: Sentences | None = None
) -> list[tuple[str, str]]:
    """(sentence, its translation) of up to `config.shots` examples: of the file of examples; without one of `sentences`
    and then of those that come with the package. None where no source has both languages, and the log says so.

    ConfigError for a file of examples without one for these languages, DataError for one that cannot be read."""
    if config.examples is not None:
        rows = _rows(Path(config.examples))
        own = [(row[source.code], row[target.code]) for row in rows if source.code in row and target.code in row]
        if not own:
            raise ConfigError(
                f"translate.translator.examples: {config.examples} has no row with {source.code} and {target.code}",
                hint=f'add rows such as {{"{source.code}": "...", "{target.code}": "..."}}',
            )
        return own[: config.shots]
    pairs: list[tuple[str, str]] = []
    for by_language in (sentences or {}, unrelated_sentences()):
        if source.code in by_language and target.code in by_language:
            pairs += zip(by_language[source.code], by_language[target.code], strict=True)
    if not pairs:
        _log_once(f"no examples of {source.name} and {target.name}: the prompt has none; --examples FILE gives some")
    return pairs[: config.shots]


@cache
def _log_once(message: str) -> None:
    log.info("%s", message)


def _rows(path: Path) -> list[dict[str, str]]:
    rows = []
    for line, row in read_jsonl(path):
        wrong = [key for key, value in row.items() if not isinstance(value, str) or not value.strip() or "\n" in value]
        if wrong:
            raise DataError(
                f"{path}:{line}: {wrong[0]!r} is not one line of text", hint="one sentence by language code in each row"
            )
        rows.append(row)
    return rows


def continued_text(shots: Examples, source: Language, target: Language, text: str = TEXT) -> str:
    """The prompt as text that the translation continues; it ends before the space in front of the translation."""
    blocks = [INSTRUCTION.format(source=source.name, target=target.name)]
    blocks += [f"{source.name}: {sentence}\n{target.name}: {translation}" for sentence, translation in shots]
    return "\n\n".join([*blocks, f"{source.name}: {text}\n{target.name}:"])


def chat_messages(shots: Examples, source: Language, target: Language, text: str = TEXT) -> list[dict[str, str]]:
    """The prompt as turns of a chat: the instruction stands in each question, as not every model has a system turn."""
    instruction = CHAT_INSTRUCTION.format(source=source.name, target=target.name)
    messages = []
    for sentence, translation in shots:
        messages += [
            {"role": "user", "content": f"{instruction}\n\n{sentence}"},
            {"role": "assistant", "content": translation},
        ]
    return [*messages, {"role": "user", "content": f"{instruction}\n\n{text}"}]
