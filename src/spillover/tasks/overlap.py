"""Which texts of two sets are the same after normalisation. `build` asks it of training questions, `audit` of shots."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

from spillover.core.types import Example


def normalise(text: str) -> str:
    """Compatibility forms folded, case folded, punctuation and symbols dropped, blanks collapsed."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    kept = "".join(" " if unicodedata.category(char)[0] in "PSZC" else char for char in folded)
    return " ".join(kept.split())


def overlapping(questions: Iterable[Example], items: Iterable[Example]) -> list[tuple[str, str]]:
    """(question id, item id) for each question all of whose fields equal an item's after normalisation."""
    known: dict[tuple[str, ...], str] = {}
    for item in items:
        known.setdefault(_key(item), item.id)
    return [(question.id, known[key]) for question in questions if (key := _key(question)) in known]


def _key(example: Example) -> tuple[str, ...]:
    return tuple(normalise(text) for text in example.fields.values())
