"""The errors a person can cause, each with a message (what, which value, where) and a hint (the fix)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


class SpilloverError(Exception):
    """A mistake in the input, not a bug here: one problem, or all of them at once. `cli` prints a line for each and
    exits with `exit_code`."""

    exit_code = 2

    def __init__(self, problems: str | list[str], *, hint: str = "") -> None:
        self.problems = [problems] if isinstance(problems, str) else list(problems)
        self.message = "\n".join(self.problems)
        super().__init__(self.message)
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message


class ConfigError(SpilloverError):
    """Options or a config file that cannot be used."""


class DataError(SpilloverError):
    """Text on disk that cannot be used; the message starts with file:line wherever a line is to blame."""

    exit_code = 3


class ModelError(SpilloverError):
    """A model, tokenizer or adapter that cannot be loaded, or whose scores are not finite."""

    exit_code = 3


class RunError(SpilloverError):
    """A run folder that is missing something or belongs to something else."""

    exit_code = 3


class MissingExtra(SpilloverError):
    """A package that only some stages need is not installed."""

    exit_code = 4


def first_line(error: BaseException) -> str:
    """The first line of an error's text that says something, 300 characters of it; its type's name where none does."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0][:300] if lines else type(error).__name__


def first_problem(errors: Sequence[Mapping[str, Any]]) -> str:
    """`key.inner: what is wrong` of the first of pydantic's errors; "the whole" in place of no key."""
    first = errors[0]
    return f"{'.'.join(map(str, first['loc'])) or 'the whole'}: {first['msg'].lower()}"


EXTRAS = {
    "torch": "models",
    "transformers": "models",
    "peft": "models",
    "accelerate": "models",
    "huggingface_hub": "models",
    "gguf": "demo",
    "lingua": "audit",
    "datasets": "hub",
    "sentence_transformers": "encoder",
    "httpx": "server",
    "sacrebleu": "translate",
    "sentencepiece": "translate",
    "gradio": "explore",
    "ray": "ray",
}


def missing_extra(error: ImportError) -> MissingExtra | None:
    """The error of an import that failed as an extra is not installed; None when it failed for another reason."""
    package = (error.name or "").partition(".")[0]
    if package not in EXTRAS:
        return None
    return MissingExtra(
        f"this needs {package}, which is not installed", hint=f"pip install 'spillover[{EXTRAS[package]}]'"
    )
