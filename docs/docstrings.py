"""An extension of griffe: docstrings as Markdown that shows what they say.

`<run>/compare` outside of code keeps its brackets, and a paragraph whose lines are set in columns keeps them.
"""

from __future__ import annotations

import re
from typing import Any

from griffe import Extension

COLUMNS = re.compile(r"\S {2,}\S")


class Docstrings(Extension):
    """Changes each docstring once it is read."""

    def on_instance(self, *, obj: Any, **_: Any) -> None:
        """Called by griffe for every module, class, function and attribute."""
        if obj.docstring:
            obj.docstring.value = as_markdown(obj.docstring.value)


def as_markdown(text: str) -> str:
    """A docstring as Markdown."""
    return "\n\n".join(map(_paragraph, re.split(r"\n{2,}", text)))


def _paragraph(text: str) -> str:
    if COLUMNS.search(text):
        return "".join(f"    {line}\n" for line in text.splitlines()).rstrip()
    return re.sub(r"(`[^`]*`)|<(?=\w)", lambda found: found[1] or "&lt;", text)
