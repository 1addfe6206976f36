"""Keep freed memory in the process, and give it back when it is asked for.

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
    What is kept grows with the gaps between blocks: `return_freed_memory` gives them back."""
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:  # musl
        return False
    return all(
        mallopt(*pair) == 1 for pair in ((MMAP_THRESHOLD, HEAP_BELOW), (TRIM_THRESHOLD, KEEP), (TOP_PAD, GROW_BY))
    )


def return_freed_memory() -> bool:
    """Give the system back what was freed; returns whether there was any. False where the C library is not glibc."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform.startswith("linux") else None
    return bool(trim(0)) if trim is not None else False
