"""The small model that guesses ahead for a large one, where it is installed and fits beside it.

Owns that decision. Pure but for reading headers. Invariant: the large model is planned first and
never loses anything to its draft.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from runner.errors import DoesNotFitError, GgufError
from runner.hardware import Hardware
from runner.memory import LoadPlan, Wish, plan, shape_from_header

from .shelf import Shelf, Weights

NUM_SEQUENCES = 2  # that the engine guesses for at the same time


@dataclass(frozen=True, slots=True)
class Companion:
    """A draft's files, and the memory that it takes on top."""

    paths: tuple[str, ...]
    ram_bytes: int


def find_companion(
    shelf: Shelf, weights: Weights, decided: LoadPlan, hardware: Hardware, capacity_bytes: int
) -> Companion | None:
    """The draft of a model that is about to be loaded as decided; None where there is none."""
    draft = shelf.find(weights.entry.draft) if weights.entry.draft else None
    if draft is None or 0 < decided.gpu_layers <= decided.num_layers:
        return None  # a model that is split leaves no room on the GPU
    gpus = tuple(
        replace(gpu, free_bytes=max(0, gpu.free_bytes - decided.total_gpu_bytes))
        for gpu in hardware.gpus
    )
    free_bytes = max(0, hardware.memory_available_bytes - decided.total_ram_bytes)
    left = replace(hardware, gpus=gpus, memory_available_bytes=free_bytes)
    wish = Wish(
        context=decided.context,
        parallel=NUM_SEQUENCES,
        threads=decided.threads,
        gpu_layers=-1 if decided.gpu_layers else 0,
        kv_type=decided.kv_type,
        memory_budget_bytes=max(0, capacity_bytes - decided.total_ram_bytes),
    )
    try:
        found = plan(shape_from_header(shelf.facts(draft), draft.entry.id), left, wish)
    except (DoesNotFitError, GgufError):
        return None
    return Companion(draft.paths, found.total_ram_bytes)
