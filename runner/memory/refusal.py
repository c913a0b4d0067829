"""What is missing where a model does not fit, and what would hold it.

Owns the sentence and its sums. Decides nothing.
"""

from __future__ import annotations

import math

from runner.errors import DoesNotFitError

from .budget import MARGIN_BYTES, MARGIN_SHARE, Budget
from .footprint import Footprint

GIB = 2**30
MEMORY_SIZES_GIB = (4, 8, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048)
SYSTEM_BYTES = 2 * GIB
GPU_SIZES_GIB = (8, 12, 16, 24, 32, 48, 80)


def describe_refusal(model: str, sums: Footprint, budget: Budget) -> DoesNotFitError:
    """The error for sums that are over one of the limits."""
    if sums.needed_ram_bytes > budget.ram_bytes:
        needed, available = sums.needed_ram_bytes, budget.ram_bytes
        what = f"it needs {_gib(needed)} of memory ({_parts(sums)})"
        limit = budget.ram_reason
    else:
        needed, available = sums.gpu_bytes, budget.gpu_bytes
        what = f"the layers asked for need {_gib(needed)} on the GPU"
        limit = f"{_gib(available)} can be used there"
    return DoesNotFitError(
        f"{model} does not fit: {what}, {limit}: {_gib(needed - available)} are missing; "
        f"{what_would_hold(sums)} would hold it, or take a smaller quantisation, a smaller model "
        "or a hosted provider",
        needed_bytes=needed,
        available_bytes=available,
    )


def what_would_hold(sums: Footprint) -> str:
    """A machine without a GPU, and GPUs, that the same load would fit."""
    whole = sums.needed_ram_bytes + sums.gpu_bytes - sums.gpu_compute_bytes
    free = max(whole / (1 - MARGIN_SHARE), whole + MARGIN_BYTES) + SYSTEM_BYTES
    memory = next((size for size in MEMORY_SIZES_GIB if size * GIB >= free), None)
    machine = f"a machine with {memory} GiB of memory" if memory else f"{_gib(free)} of memory"
    on_gpu = whole - sums.process_bytes - sums.output_bytes
    each = sums.reserved_compute_bytes
    return f"{machine} or {_gpus(on_gpu, each)}"


def _gpus(total_bytes: int, compute_bytes: int) -> str:
    """The smallest usual card that holds it alone, else how many of the largest."""
    for size in GPU_SIZES_GIB:
        if total_bytes + compute_bytes <= _usable(size):
            return f"a GPU with {size} GiB"
    largest = GPU_SIZES_GIB[-1]
    count = math.ceil(total_bytes / max(1, _usable(largest) - compute_bytes))
    return f"{count} GPUs with {largest} GiB each"


def _usable(size_gib: int) -> int:
    return round(size_gib * GIB - max(MARGIN_BYTES, MARGIN_SHARE * size_gib * GIB))


def _parts(sums: Footprint) -> str:
    weights = sums.mapped_bytes - sums.spare_bytes + sums.repacked_bytes
    rest = sums.compute_bytes + sums.output_bytes + sums.embedding_bytes + sums.process_bytes
    return f"weights {_gib(weights)}, KV cache {_gib(sums.kv_bytes)}, buffers {_gib(rest)}"


def _gib(size_bytes: float) -> str:
    return f"{size_bytes / GIB:.1f} GiB"
