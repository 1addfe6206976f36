"""Training pairs on disk, and the languages that they teach."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, fields
from pathlib import Path

from spillover.core.errors import DataError
from spillover.core.files import read_jsonl, write_jsonl
from spillover.core.languages import reference_language
from spillover.core.types import TrainingPair


def write_pairs(path: Path, pairs: Sequence[TrainingPair]) -> None:
    """Write pairs as JSON lines."""
    write_jsonl(path, map(asdict, pairs))


def read_pairs(path: Path) -> list[TrainingPair]:
    """Pairs from JSON lines. DataError with file:line for a row that is not a pair."""
    keys = {field.name for field in fields(TrainingPair)}
    pairs = []
    for line, row in read_jsonl(path):
        if set(row) != keys or not all(isinstance(value, str) and value for value in row.values()):
            raise DataError(f"{path}:{line}: not a training pair", hint=f"each row has {', '.join(sorted(keys))}")
        pairs.append(TrainingPair(**row))
    return pairs


def trained_languages(pairs: Iterable[TrainingPair]) -> list[str]:
    """Codes of the languages that pairs teach, sorted: both sides but the reference language, which the model knows."""
    return sorted({code for pair in pairs for code in (pair.source, pair.target)} - {reference_language()})
