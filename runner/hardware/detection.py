"""Looks at the machine once and keeps what took measuring.

Owns putting the pieces together and the one file it remembers the bandwidth in. Every way of
looking is an argument, so that any machine can be played.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil

from .bandwidth import measure_bandwidth
from .container import read_core_limit, read_memory_limit
from .gpu import engine_backends, read_nvml
from .machine import Gpu, Hardware
from .processor import count_usable_cores, read_instruction_sets

MEMORY_FILE = "hardware.json"


@dataclass(frozen=True, slots=True)
class HostMemory:
    """Main memory as the system reports it."""

    total_bytes: int
    available_bytes: int


def _read_host_memory() -> HostMemory:
    memory = psutil.virtual_memory()
    return HostMemory(memory.total, memory.available)


def _count_physical_cores() -> int:
    return psutil.cpu_count(logical=False) or 0


def _read_disk_free(folder: Path) -> int:
    return shutil.disk_usage(folder).free


def _read_load() -> float:
    return psutil.getloadavg()[0]


def _no_devices() -> tuple[Gpu, ...]:
    return ()


def _no_kernels(_num_threads: int) -> dict[str, float]:
    return {}


@dataclass(frozen=True, slots=True)
class Readers:
    """The ways of looking. `engine_devices` asks llama.cpp itself; it is asked only when its build
    has a GPU backend that no other reader knows. `kernels` measures the engine's own."""

    root: Path = Path("/")
    host_memory: Callable[[], HostMemory] = _read_host_memory
    physical_cores: Callable[[], int] = _count_physical_cores
    usable_cores: Callable[[], int] = count_usable_cores
    backends: Callable[[], frozenset[str]] = engine_backends
    nvml: Callable[[], tuple[Gpu, ...]] = read_nvml
    engine_devices: Callable[[], tuple[Gpu, ...]] = _no_devices
    disk_free: Callable[[Path], int] = _read_disk_free
    bandwidth: Callable[[int], float] = measure_bandwidth
    kernels: Callable[[int], dict[str, float]] = _no_kernels
    load: Callable[[], float] = _read_load


def detect(state_dir: Path, readers: Readers | None = None) -> Hardware:
    """What this machine has. The first call on a machine measures for under a second."""
    readers = readers or Readers()
    usable = _usable_cores(readers)
    physical = min(readers.physical_cores() or usable, usable)
    host, limit = readers.host_memory(), read_memory_limit(readers.root)
    total, available = host.total_bytes, host.available_bytes
    if limit is not None:
        total, available = min(total, limit.limit_bytes), min(available, limit.available_bytes)
    gpus, idle = _find_gpus(readers)
    speeds = _speeds(state_dir, physical, readers)
    return Hardware(
        physical_cores=physical,
        logical_cores=usable,
        instruction_sets=read_instruction_sets(readers.root),
        memory_total_bytes=total,
        memory_available_bytes=available,
        disk_free_bytes=_disk_free(readers, state_dir),
        memory_bandwidth_bytes_per_s=speeds.memory_bandwidth_bytes_per_s,
        gpus=gpus,
        idle_gpus=idle,
        core_bytes_per_s=speeds.core_bytes_per_s,
        is_memory_limited=limit is not None and limit.limit_bytes < host.total_bytes,
    )


def _usable_cores(readers: Readers) -> int:
    """Cores this process may use, whole ones; a share of a core still is one."""
    quota = read_core_limit(readers.root)
    usable = readers.usable_cores()
    return usable if quota is None else max(1, min(usable, math.ceil(quota)))


def _find_gpus(readers: Readers) -> tuple[tuple[Gpu, ...], tuple[str, ...]]:
    """Devices the engine can use, and the names of cards it cannot."""
    backends, cards = readers.backends(), readers.nvml()
    if "cuda" in backends and cards:
        return cards, ()
    devices = readers.engine_devices() if backends else ()
    return devices, () if devices else tuple(card.name for card in cards)


def _disk_free(readers: Readers, folder: Path) -> int:
    """Free space where the weights will lie, or where their folder will be made."""
    for place in (folder, *folder.parents):
        if place.is_dir():
            with contextlib.suppress(OSError):
                return readers.disk_free(place)
    return 0


@dataclass(frozen=True, slots=True)
class _Speeds:
    """What took measuring."""

    num_threads: int
    memory_bandwidth_bytes_per_s: float
    core_bytes_per_s: dict[str, float]
    was_busy: bool


def _speeds(state_dir: Path, num_threads: int, readers: Readers) -> _Speeds:
    """As remembered for this many cores, else measured and remembered.

    What was measured beside other work is not sure: it is measured again once the machine is idle.
    """
    path = state_dir / MEMORY_FILE
    known = _read_speeds(path, num_threads)
    is_busy = readers.load() > num_threads / 2
    is_sure = known.memory_bandwidth_bytes_per_s > 0 and (is_busy or not known.was_busy)
    cores = known.core_bytes_per_s if is_sure else {}
    cores = cores or readers.kernels(num_threads) or known.core_bytes_per_s
    if is_sure and cores == known.core_bytes_per_s:
        return known
    found = _Speeds(
        num_threads,
        known.memory_bandwidth_bytes_per_s if is_sure else readers.bandwidth(num_threads),
        cores,
        is_busy,
    )
    _keep(path, asdict(found))
    return found


def _read_speeds(path: Path, num_threads: int) -> _Speeds:
    """What is remembered; zeros for what is not, or was measured with other threads."""
    kept = _read_kept(path)
    if kept.get("num_threads") != num_threads:
        kept = {}
    cores = kept.get("core_bytes_per_s")
    return _Speeds(
        num_threads,
        _positive(kept.get("memory_bandwidth_bytes_per_s")),
        {name: _positive(rate) for name, rate in cores.items() if _positive(rate)}
        if isinstance(cores, dict)
        else {},
        bool(kept.get("was_busy")),
    )


def _positive(value: object) -> float:
    return float(value) if isinstance(value, (int, float)) and value > 0 else 0.0


def _keep(path: Path, facts: dict[str, object]) -> None:
    with contextlib.suppress(OSError):  # a folder that cannot be written costs a second next time
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f"{path.name}.{os.getpid()}")
        draft.write_text(json.dumps(facts), encoding="utf-8")
        draft.replace(path)


def _read_kept(path: Path) -> dict[str, Any]:
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return kept if isinstance(kept, dict) else {}
