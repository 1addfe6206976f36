"""Texts of others in Markdown: read as text by every reader of it, never as markup, HTML or a link."""

from __future__ import annotations

import re

from spillover.core.visible_text import visible

# What may start or end markup anywhere in a line; and, at its start, a heading, a list or a rule.
MARKUP = re.compile(r"([\\`*_<>\[|~&$])")
LINE_START = re.compile(r"^(\s*)([#+=-]|\d+(?=[.)]))")


def markdown(text: str) -> str:
    """A text for the middle of a line or a cell of a table, each character of it shown."""
    escaped = MARKUP.sub(r"\\\1", visible(text))
    escaped = escaped.replace("://", ":\\//").replace("www.", "www\\.")
    return LINE_START.sub(_escaped_start, escaped)


def _escaped_start(match: re.Match[str]) -> str:
    space, mark = match.groups()
    # A digit cannot be escaped: what follows it makes the list.
    return f"{space}{mark}\\" if mark[0].isdigit() else f"{space}\\{mark}"


def code(text: str) -> str:
    """A text as code in a line: between more backticks than it has in a row."""
    shown = visible(text)
    fence = "`" * (max(map(len, re.findall("`+", shown)), default=0) + 1)
    space = " " if shown.startswith("`") or shown.endswith("`") else ""
    return f"{fence}{space}{shown}{space}{fence}"
