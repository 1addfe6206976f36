"""How a length of time is written."""

from __future__ import annotations

HOUR, MINUTE = 3600, 60


def duration(seconds: float) -> str:
    """`40 s`, `16 min`, `2.5 h`: the next unit from a hundred on."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / MINUTE:.0f} min" if seconds < 100 * MINUTE else f"{seconds / HOUR:.1f} h"
