"""How fast this machine reads its memory: measured once, in under a second.

Owns the measuring. Decoding reads every weight once per token, so reading is what is measured, by
all cores at once, over far more than the caches hold. It is timed by the processor time of each
thread, so that other programs' turns do not count; the best pass wins.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

BUFFER_BYTES = 128 * 2**20
MAX_PASSES = 8
BUDGET_S = 0.4


def measure_bandwidth(
    num_threads: int,
    *,
    buffer_bytes: int = BUFFER_BYTES,
    clock: Callable[[], float] = time.perf_counter,
    thread_clock: Callable[[], float] = time.thread_time,
) -> float:
    """Bytes read per second by `num_threads` threads together."""
    import numpy as np  # a tenth of a second that most starts can do without

    begun = clock()
    num_items = max(1, buffer_bytes // 8 // num_threads)
    parts = [np.ones(num_items, dtype=np.int64) for _ in range(num_threads)]

    def read(part: npt.NDArray[np.int64]) -> float:
        start = thread_clock()
        np.bitwise_or.reduce(part)  # numpy lets go of Python's lock
        return thread_clock() - start

    best_s = float("inf")
    with ThreadPoolExecutor(num_threads) as pool:
        for _ in range(MAX_PASSES):
            mean_s = sum(pool.map(read, parts)) / num_threads
            best_s = min(best_s, mean_s)
            if clock() - begun > BUDGET_S:
                break
    return num_items * 8 * num_threads / max(best_s, 1e-9)
