"""The prompt that makes a language model translate: an instruction, examples, and the text.

As continued text for a causal model and a completion server, as turns for a chat server.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

from spillover.core.config import TranslatorConfig
from spillover.core.errors import ConfigError, DataError
from spillover.core.files import read_jsonl
from spillover.core.languages import unrelated_sentences
from spillover.core.types import Language

Examples = Sequence[tuple[str, str]]

INSTRUCTION = "Translate from {source} to {target}."
CHAT_INSTRUCTION = INSTRUCTION + " Answer with the translation alone."
TEXT = "{text}"


def examples(config: TranslatorConfig, source: Language, target: Language) -> list[tuple[str, str]]:
    """(sentence, its translation) of up to `config.shots` examples; none where the bundled sentences lack a language.

    ConfigError for a file of examples without one for these languages, DataError for one that cannot be read."""
    if config.examples is None:
        sentences = unrelated_sentences()
        pairs = list(zip(sentences.get(source.code, []), sentences.get(target.code, []), strict=False))
    else:
        rows = _rows(Path(config.examples))
        pairs = [(row[source.code], row[target.code]) for row in rows if source.code in row and target.code in row]
        if not pairs:
            raise ConfigError(
                f"translate.translator.examples: {config.examples} has no row with {source.code} and {target.code}",
                hint=f'add rows such as {{"{source.code}": "...", "{target.code}": "..."}}',
            )
    return pairs[: config.shots]


@cache
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
