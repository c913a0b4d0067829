"""What every model did and every loaded engine said of itself, as the metrics show it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import psutil

from runner.metrics import EngineFigures, ResidencyFigures

from .pool import Pool


def engine_figures(pool: Pool) -> Iterator[EngineFigures]:
    """The figures of each ready engine."""
    for model in pool.models():
        resident = pool.resident(model)
        status = resident.engine.status if resident and resident.engine else None
        if resident is None or status is None:
            continue
        yield EngineFigures(
            model=model,
            num_running=status.num_running,
            num_waiting=status.num_waiting,
            num_cells=status.num_cells,
            num_free_cells=status.num_free,
            num_cached_cells=status.num_cached,
            num_live_cells=status.num_live,
            num_shared_cells=status.num_shared,
            tokens_generated=status.tokens_generated,
            prompt_tokens=status.prompt_tokens,
            cached_tokens=status.cached_tokens,
            tokens_per_s=status.tokens_per_s,
            num_crashes=resident.num_crashes,
        )


def residency_figures(pool: Pool) -> Iterator[ResidencyFigures]:
    """Loads, unloads and memory of every model that was asked for."""
    for model in pool.models():
        resident = pool.resident(model)
        if resident is None:
            continue
        measured = 0
        if resident.is_ready and resident.engine is not None:
            with contextlib.suppress(psutil.Error):
                measured = int(psutil.Process(resident.engine.pid).memory_info().rss)
        yield ResidencyFigures(
            model=model,
            num_loads=resident.num_loads,
            num_unloads=resident.num_unloads,
            planned_bytes=resident.ram_bytes,
            measured_bytes=measured,
        )
