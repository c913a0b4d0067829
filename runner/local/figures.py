"""What every loaded engine last said of itself, as the metrics show it."""

from __future__ import annotations

from collections.abc import Iterator

from runner.metrics import EngineFigures

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
            tokens_generated=status.tokens_generated,
            prompt_tokens=status.prompt_tokens,
            cached_tokens=status.cached_tokens,
            tokens_per_s=status.tokens_per_s,
            num_crashes=resident.num_crashes,
        )
