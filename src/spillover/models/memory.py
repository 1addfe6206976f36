"""What a model's weights need, and what memory there is: known before anything is loaded or downloaded."""

from __future__ import annotations


def gibibytes(size: float) -> str:
    """A number of bytes for a person: "14.9 GiB"."""
    return f"{size / 2**30:.1f} GiB"
