"""Batches side by side on a processor, each on cores of its own.

All cores together multiply large matrices at full rate, but between the products of one batch (norms, rotation,
softmax, Python) they wait for each other. Two batches, a core each, fill each other's gaps: 1.1 to 1.3 times as fast on
two cores (experiments/2026-11-27-gemma-scoring.md). Threads, not processes: the weights and the shared prefix are there
once.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import torch

from spillover.models.placement import is_placed

# Python runs in one thread at a time: beyond a few workers its share of each pass is what they wait for.
MOST_WORKERS = 4
# A batch of fewer tokens does not fill even one core.
LEAST_TOKENS = 256


def worker_count(module: torch.nn.Module, device: torch.device) -> int:
    """How many batches to score at once: 1 off the processor, where layers are spread over devices, and on one core."""
    if device.type != "cpu" or is_placed(module):
        return 1
    return min(MOST_WORKERS, torch.get_num_threads())


@contextmanager
def worker_pool(workers: int) -> Iterator[ThreadPoolExecutor]:
    """Threads that share this process's cores. At the end of the block what has not begun is cancelled."""
    cores = torch.get_num_threads()
    pool = ThreadPoolExecutor(workers, "scoring", lambda: torch.set_num_threads(max(1, cores // workers)))
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(cores)
