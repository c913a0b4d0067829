"""The facts of one machine, as the planner reads them.

Owns two shapes, no looking.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Gpu:
    """One device the engine can use; `bandwidth_bytes_per_s` is None where it is not known.

    `shares_ram` is true where the device computes out of main memory (Apple silicon, most
    integrated graphics), so that its memory is not memory on top.
    """

    name: str
    backend: str
    total_bytes: int
    free_bytes: int
    bandwidth_bytes_per_s: float | None = None
    shares_ram: bool = False


@dataclass(frozen=True, slots=True)
class Hardware:
    """What there is. Memory counts what a new process could really get, container limits included.

    `idle_gpus` names graphics cards that are here but that this build of the engine cannot use.
    `core_bytes_per_s` is how fast one core works through weights, by tensor type, as the engine's
    own kernels were measured (`TYPE*`: rearranged ones); empty where nobody did.
    """

    physical_cores: int
    logical_cores: int
    instruction_sets: frozenset[str]
    memory_total_bytes: int
    memory_available_bytes: int
    disk_free_bytes: int
    memory_bandwidth_bytes_per_s: float
    gpus: tuple[Gpu, ...] = ()
    idle_gpus: tuple[str, ...] = ()
    core_bytes_per_s: Mapping[str, float] = field(default_factory=dict)
    is_memory_limited: bool = False
