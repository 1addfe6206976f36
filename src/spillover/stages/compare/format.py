"""How the numbers and names of a comparison are written: points, percent, p-values, intervals, lists."""

from __future__ import annotations

import math
from collections.abc import Sequence

NAMED = 5


def points(share: float) -> str:
    """A share as signed percentage points, "0.0" without a sign; a dash for NaN."""
    if math.isnan(share):
        return "–"
    text = f"{100 * share:+.1f}"
    return "0.0" if text in ("+0.0", "-0.0") else text


def size(share: float) -> str:
    """The size of a change, as in "5.0 points"; one that no data can show is "over 100 points"."""
    return "over 100 points" if share > 1 else f"{100 * share:.1f} points"


def percent(share: float) -> str:
    """A share in percent; a dash for NaN."""
    return "–" if math.isnan(share) else f"{100 * share:.1f}"


def p_value(p: float) -> str:
    """A p-value, never 0; a dash for NaN."""
    return "–" if math.isnan(p) else "<0.001" if p < 0.001 else f"{p:.3f}"


def span(low: float, high: float) -> str:
    """An interval in points; a dash for NaN."""
    return "–" if math.isnan(low) else f"{points(low)} to {points(high)}"


def area(value: float) -> str:
    """An AUROC; a dash for NaN."""
    return "–" if math.isnan(value) else f"{value:.3f}"


def area_change(delta: float) -> str:
    """A change in AUROC with its sign, "0.000" without one; a dash for NaN."""
    text = "–" if math.isnan(delta) else f"{delta:+.3f}"
    return "0.000" if text in ("+0.000", "-0.000") else text


def area_size(delta: float) -> str:
    """The size of a change in AUROC; one that no data can show is "over 1"."""
    return "over 1" if delta > 1 else area(delta)


def area_span(delta: float, low: float, high: float) -> str:
    """A change in AUROC with its interval, where it has one."""
    if math.isnan(delta):
        return "undefined"
    if math.isnan(low):
        return f"{delta:+.3f} (nothing varies, no interval)"
    return f"{delta:+.3f} ({low:+.3f} to {high:+.3f})"


def listed(names: Sequence[str]) -> str:
    """The first few of them, joined by commas."""
    return ", ".join(names[:NAMED]) + ", ..." * (len(names) > NAMED)


def counted(names: Sequence[str], noun: str) -> str:
    """`1 item`, `2 items`."""
    return f"{len(names)} {noun}{'s' * (len(names) != 1)}"
