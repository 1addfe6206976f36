"""Texts of others with what would act in place of being read shown as an escape.

Control characters move the cursor, change colours and end lines; bidirectional controls put letters in another order
than they are stored; line separators and lone surrogates break what reads the text. Joiners and marks stay: Persian,
Hindi and emoji need them.
"""

from __future__ import annotations

import re

ACTING = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")


def visible(text: str) -> str:
    """A text in one line, as Python writes its escapes: a line feed is `\\n`, the escape character `\\x1b`."""
    return ACTING.sub(lambda char: char.group().encode("unicode_escape").decode(), text)


def visible_json(text: str) -> str:
    """JSON that stays JSON of the same values, with JSON's own escapes. Line feeds between values stay."""
    return ACTING.sub(lambda char: char.group() if char.group() in "\n\r\t" else f"\\u{ord(char.group()):04x}", text)
