"""What a translation is made of, before it starts and when it is done."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from spillover.core.types import Finding


@dataclass(frozen=True)
class TranslationPlan:
    """What will be asked. rows: number of questions; texts: of theirs; characters: of all texts. done: by language the
    rows that are translated already. prompts: by language what the translator reads for one text, "" for a command."""

    translator: str
    rows: int
    texts: int
    characters: int
    done: Mapping[str, int]
    prompts: Mapping[str, str]

    @property
    def share_left(self) -> float:
        """Share of all rows in all languages that is still to be translated."""
        return 1 - sum(self.done.values()) / (self.rows * len(self.done))

    @property
    def texts_left(self) -> int:
        """Texts that are still to be translated, over all languages; rows of one task have about as many each."""
        return round(self.share_left * self.texts * len(self.done))

    @property
    def characters_left(self) -> int:
        """Characters of these texts, without prompts."""
        return round(self.share_left * self.characters * len(self.done))

    @property
    def prompt_characters_left(self) -> int:
        """Characters of the prompts around them."""
        left = {code: 1 - done / self.rows for code, done in self.done.items()}
        return round(sum(share * self.texts * len(self.prompts[code]) for code, share in left.items()))


@dataclass(frozen=True)
class LanguageCounts:
    """One target language. left_out: as in "review: numbers: lacks 12", by the row's id. written: rows of its file."""

    rows: int
    retried: int
    left_out: Mapping[str, str]
    written: int

    @property
    def reasons(self) -> Counter[str]:
        """How many rows were left out for each kind of problem, as the checks name them."""
        return Counter(problem.split(": ")[1] for problem in self.left_out.values())


@dataclass(frozen=True)
class TranslatedQuestions:
    """The outcome. folder: of the files, one for each language. findings: of the audit."""

    folder: Path
    record: Path
    languages: Mapping[str, LanguageCounts]
    findings: Sequence[Finding]
