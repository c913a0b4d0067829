"""How many threads decode fastest, tried on the loaded weights.

Owns the trial. It runs before the first request and leaves no cell behind; what it finds is kept
by the parent, so that it is run once for each machine and model.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from .llama import Batch, Context

SLOT = 0
NUM_STEPS = 5  # after one to warm up
ENOUGH_S = 1.0  # of trying one choice
WORTH_CHANGING = 1.03  # a later choice has to be that much faster than an earlier one


@dataclass(frozen=True, slots=True)
class Trial:
    """A number of threads, and the tokens a second that one stream ran at."""

    num_threads: int
    tokens_per_s: float


def fastest(context: Context, choices: Sequence[int], clock: Callable[[], float]) -> Trial:
    """The best of the choices, the first ones preferred; the context uses it from now on."""
    batch = Batch(1)
    best: Trial | None = None
    for num_threads in choices:
        context.use_threads(num_threads)
        found = Trial(num_threads, 1 / _step_s(context, batch, clock))
        if best is None or found.tokens_per_s > WORTH_CHANGING * best.tokens_per_s:
            best = found
    assert best is not None
    context.use_threads(best.num_threads)
    return best


def _step_s(context: Context, batch: Batch, clock: Callable[[], float]) -> float:
    """Median seconds of computing one token."""
    times: list[float] = []
    for place in range(NUM_STEPS + 1):
        batch.clear()
        batch.add(SLOT, [0], place, 1)
        begun_s = clock()
        context.decode(batch)
        times.append(max(clock() - begun_s, 1e-6))
        if sum(times) > ENOUGH_S and len(times) > 1:
            break
    context.remove(SLOT, 0)
    return statistics.median(times[1:] or times)
