"""Task names of other tools → task and language: `belebele_deu_Latn` and `belebele_swh_Latn` are one task, belebele.

A code at the end of a name is its language. One in the middle (`global_mmlu_full_sw_history`), or one of three letters
(`sib_hau`), is only where the same name with another code stands beside it: `what_is_the_tao` is not in Icelandic, and
`code_run` not in Rundi.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence

from spillover.core.languages import UNKNOWN_LANGUAGE, code_of, known_languages

# de, deu, deu_Latn, zh-Hant, pt-BR. Regions in small letters are other things: `mt_de` and `en-de` are translations.
CODE = re.compile(r"[a-z]{2,3}(?P<subtag>[_-][A-Z][a-z]{3}|[_-][A-Z]{2})?")


def tasks_and_languages(names: Iterable[str]) -> dict[str, tuple[str, str]]:
    """(task, language) by name; names without a language, and any that would collide, keep their name and `und`."""
    names = list(names)
    split = {name: _at_end(name) for name in names}
    inner = {name: _inside(name) for name in names if split[name] is None}
    shared = Counter(found[0] for found in inner.values() if found)
    for name, found in inner.items():
        if found and shared[found[0]] > 1:
            split[name] = found
    claims = Counter(found or (name, UNKNOWN_LANGUAGE) for name, found in split.items())
    return {name: found if found and claims[found] == 1 else (name, UNKNOWN_LANGUAGE) for name, found in split.items()}


def _at_end(name: str) -> tuple[str, str] | None:
    words = name.split("_")
    found = _without_code(words, (len(words) - 2, 2))
    return found or (None if len(words[-1]) == 3 else _without_code(words, (len(words) - 1, 1)))


def _inside(name: str) -> tuple[str, str] | None:
    """Of several codes in a name, the last."""
    words = name.split("_")
    places = [(start, size) for start in range(len(words) - 1, 0, -1) for size in (2, 1) if start + size <= len(words)]
    return next(filter(None, (_without_code(words, place) for place in places)), None)


def _without_code(words: Sequence[str], place: tuple[int, int]) -> tuple[str, str] | None:
    """(the other words, the language) where the `size` words from `start` on are a code and others stand before it."""
    start, size = place
    rest = "_".join([*words[:start], *words[start + size :]])
    code = _language("_".join(words[start : start + size])) if start > 0 and words[0] else None
    return (rest, code) if code else None


def _language(text: str) -> str | None:
    """The language of a code; None for a word. Nearly every word of three letters is the code of some language: without
    a script they count where the language has a code of two letters."""
    match = CODE.fullmatch(text)
    code = code_of(text) if match else None
    if match is None or code is None:
        return None
    short = len(code.partition("-")[0]) == 2 or code in known_languages()
    return code if short or match["subtag"] else None
