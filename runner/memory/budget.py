"""How much of the machine's memory a model may take, and which limit says so.

Owns the margins. Knows no model.
"""

from __future__ import annotations

from dataclasses import dataclass

from runner.hardware import Hardware

MARGIN_BYTES = 512 * 2**20
MARGIN_SHARE = 0.05
GIB = 2**30


@dataclass(frozen=True, slots=True)
class Budget:
    """Bytes that may be used. `is_shared` is true where the GPU computes out of main memory."""

    ram_bytes: int
    ram_reason: str
    gpu_bytes: int
    is_shared: bool


def find_budget(hardware: Hardware, memory_budget_bytes: int | None) -> Budget:
    """What is free less a margin, or the budget that was set if that is less."""
    free = hardware.memory_available_bytes
    usable = max(0, free - _margin(free))
    source = "free in this container" if hardware.is_memory_limited else "free"
    reason = f"of {free / GIB:.1f} GiB {source}, {usable / GIB:.1f} can be used"
    if memory_budget_bytes is not None and memory_budget_bytes < usable:
        usable = memory_budget_bytes
        reason = f"the memory budget is {usable / GIB:.1f} GiB"
    gpu_bytes = sum(max(0, gpu.free_bytes - _margin(gpu.free_bytes)) for gpu in hardware.gpus)
    return Budget(usable, reason, gpu_bytes, any(gpu.shares_ram for gpu in hardware.gpus))


def _margin(free_bytes: int) -> int:
    return max(MARGIN_BYTES, round(MARGIN_SHARE * free_bytes))
