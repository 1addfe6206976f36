"""What check functions are given, and what they yield."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, wraps
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from spillover.core.config import AuditThresholds
from spillover.core.types import Certainty, Encode, Example, Prompt, RowRepair, Severity, Task
from spillover.tasks.overlap import text_key

Identify = Callable[[str], "str | None"]
"""A text → the code of another language than its own that it is in, or None."""


class PromptTokenizer(Protocol):
    """What the audit asks of a tokenizer, so that it loads none itself. `context`: the longest prompt in tokens."""

    name: str
    context: int

    def lengths(self, texts: Sequence[str]) -> Sequence[int]:
        """Tokens of each text."""

    def label_tokens(self, prompt: Prompt) -> Sequence[Sequence[int]]:
        """Token ids of each label word after the prompt. SpilloverError where two of them are the same."""


@dataclass(frozen=True)
class Fault:
    """What a check function yields: a finding without what the table of checks and the input know already.

    language: "" for the language of the input, or for the whole task. severity: None for the check's own. The other
    fields are those of `Finding`.
    """

    message: str
    example_ids: Sequence[str] = ()
    language: str = ""
    evidence: Mapping[str, object] = field(default_factory=dict)
    ceiling: float | None = None
    certainty: Certainty = "certain"
    suggestion: str = ""
    severity: Severity | None = None
    repair: RowRepair | None = None


@dataclass(frozen=True, eq=False)
class LanguageTokens:
    """One language under a tokenizer.

    mean: tokens of an item in its template, without shots. too_long: ids of items that exceed the context with their
    shots. labels: token ids of each label word after the first item's prompt, by label set; indistinct: message and
    hint of the label sets whose words have the same tokens.
    """

    tokenizer: str
    context: int
    mean: float
    too_long: tuple[str, ...]
    labels: Mapping[str, Sequence[Sequence[int]]]
    indistinct: Mapping[str, tuple[str, str]]


@dataclass(frozen=True, eq=False)
class LanguageRows:
    """One language's rows of one split. `reference`: the reference language's rows by id, empty for itself.

    identify, encode, tokens, reference_tokens: None where the language identifier, a sentence encoder or a tokenizer is
    not there.
    """

    task: Task
    language: str
    rows: Sequence[Example]
    reference: Mapping[str, Example]
    thresholds: AuditThresholds
    split: str = "test"
    identify: Identify | None = None
    encode: Encode | None = None
    tokens: LanguageTokens | None = None
    reference_tokens: LanguageTokens | None = None
    cache: dict[Hashable, Any] = field(default_factory=dict)

    @cached_property
    def hashes(self) -> NDArray[np.uint64]:
        """[n] hash of each row's normalised fields: rows with one hash are one text."""
        return np.fromiter(map(item_hash, self.rows), dtype=np.uint64, count=len(self.rows))

    def texts(self, row: Example) -> Mapping[str, str]:
        """All texts of one of its rows by name: the fields, and answers of its own where these are no fields."""
        return texts_of(self.task, row)

    def with_counterparts(self) -> Iterator[tuple[Example, Example]]:
        """(row, the reference's row of the same id) wherever there is one."""
        for row in self.rows:
            if row.id in self.reference:
                yield row, self.reference[row.id]


@dataclass(frozen=True, eq=False)
class WordingInput:
    """The wording of the audited languages. without_wording: languages that have data and no wording. tokens: by
    language, empty without a tokenizer."""

    task: Task
    languages: Sequence[str]
    without_wording: Sequence[str]
    reference: str
    thresholds: AuditThresholds
    tokens: Mapping[str, LanguageTokens] = field(default_factory=dict)


class HasCache(Protocol):
    """An input that keeps results which several checks share."""

    @property
    def cache(self) -> dict[Hashable, Any]:
        """Results by the function that computed them."""


Input = TypeVar("Input", bound=HasCache)
Result = TypeVar("Result")


def computed_once(compute: Callable[[Input], Result]) -> Callable[[Input], Result]:
    """Decorator: the result is kept with the input, so that several checks can ask for it."""

    @wraps(compute)
    def cached(given: Input) -> Result:
        if compute not in given.cache:
            given.cache[compute] = compute(given)
        result: Result = given.cache[compute]
        return result

    return cached


def texts_of(task: Task, row: Example) -> Mapping[str, str]:
    """A row's texts by name, fields first. The texts of a pair are its fields (`own_answers.as_audited`)."""
    if task.kind != "choices":
        return row.fields
    return {**row.fields, **{f"choice {i}": text for i, text in enumerate(row.choices)}}


def item_hash(example: Example) -> int:
    """64 bits of an item's normalised fields."""
    return int.from_bytes(hashlib.blake2b("\x1f".join(text_key(example)).encode(), digest_size=8).digest(), "little")
