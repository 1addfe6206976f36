"""Phrases of which findings' messages are made."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable

SHOWN_WORDS, SHOWN_CHARACTERS = 5, 60
IRREGULAR = dict(forms.split() for forms in ("have has", "are is"))


def counted(n: int, verb: str, noun: str = "item") -> str:
    """How a message begins: "1 item has", "3 items have"."""
    if n == 1:
        return f"1 {noun} {IRREGULAR.get(verb, f'{verb}s')}"
    return f"{n} {noun}s {verb}"


def preview(words: Iterable[str]) -> str:
    """The first few words, cut where they are long, and how many more there are."""
    words = list(words)
    shown = ", ".join(textwrap.shorten(word, SHOWN_CHARACTERS, placeholder=" ...") for word in words[:SHOWN_WORDS])
    return shown + (f" and {len(words) - SHOWN_WORDS} more" if len(words) > SHOWN_WORDS else "")
