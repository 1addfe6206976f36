"""Translators for tests: a phrase book of the demo's own questions, with a switch for each fault."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from spillover.core.config import TranslateConfig, TranslatorConfig
from spillover.core.files import read_jsonl, resources
from spillover.core.types import Language
from tests.builders import write_rows

TRAIN = resources() / "demo" / "sentiment" / "train"


def demo_rows(code: str, n: int = 12) -> list[dict]:
    return [row for _, row in read_jsonl(TRAIN / f"{code}.jsonl")][:n]


def questions(folder: Path, n: int = 12) -> Path:
    return write_rows(folder / "questions.jsonl", demo_rows("en", n))


class PhraseBook:
    """Translates the demo's questions as they are translated there. spoil: (text, translation, retry) → what it returns
    in its place. stops_after: batches after which it is interrupted."""

    name = "phrase book"

    def __init__(
        self,
        spoil: Callable[[str, str, bool], str] = lambda text, translation, retry: translation,
        *,
        stops_after: int | None = None,
        fingerprint: str = "book-1",
    ) -> None:
        self.spoil, self.stops_after, self.fingerprint = spoil, stops_after, fingerprint
        self.asked: list[tuple[str, list[str], bool]] = []

    def prompt(self, source: Language, target: Language) -> str:
        return f"{source.code}-{target.code}: {{text}}"

    def translate(self, texts: Sequence[str], source: Language, target: Language, *, retry: bool = False) -> list[str]:
        if self.stops_after is not None and len(self.asked) >= self.stops_after:
            raise KeyboardInterrupt
        self.asked.append((target.code, list(texts), retry))
        books = [{row["id"]: row["review"] for row in demo_rows(code, 68)} for code in (source.code, target.code)]
        ids = {text: key for key, text in books[0].items()}
        return [self.spoil(text, books[1][ids[text]], retry) for text in texts]


def config(batch: int = 4, **values) -> TranslateConfig:
    return TranslateConfig(translator=TranslatorConfig(batch=batch), **values)
