"""Keep freed memory in the process.

By default glibc gives every block over 128 KiB back to the system when it is freed, so each layer's activations are
mapped, zeroed and faulted in anew: measured as a quarter of the CPU time of scoring
(experiments/2026-11-23-shared-prefix.md).
"""

from __future__ import annotations

import ctypes
import sys
from functools import cache

# Parameters of glibc's mallopt(3), and the values they are given.
TRIM_THRESHOLD, TOP_PAD, MMAP_THRESHOLD = -1, -2, -3
KEEP, GROW_BY, HEAP_BELOW = (1 << 31) - 1, 1 << 28, 1 << 30


@cache
def keep_freed_memory() -> bool:
    """Make glibc reuse freed blocks; returns whether it accepts the setting. Changes no result; for the whole process.
    What is kept is bounded by what was in use at the peak."""
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:  # musl
        return False
    return all(
        mallopt(*pair) == 1 for pair in ((MMAP_THRESHOLD, HEAP_BELOW), (TRIM_THRESHOLD, KEEP), (TOP_PAD, GROW_BY))
    )
