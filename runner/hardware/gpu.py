"""Graphics cards: which the engine's build could use, and what NVIDIA's library says of them.

Owns looking; the engine's own list of devices is passed in by whoever can ask it. Invariant: a
card that the engine cannot use is never offered.
"""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import Any

from .machine import Gpu

BACKEND_FILE = re.compile(r"ggml-(cuda|metal|vulkan|hip|sycl|opencl|musa|cann)\b")


def engine_backends() -> frozenset[str]:
    """The GPU backends that the installed llama.cpp was built with; nothing is imported."""
    spec = importlib.util.find_spec("llama_cpp")
    if spec is None or spec.origin is None:
        return frozenset()
    folder = Path(spec.origin).parent / "lib"
    names = (path.name for path in folder.glob("*ggml-*")) if folder.is_dir() else ()
    return frozenset(match[1] for name in names if (match := BACKEND_FILE.search(name)))


def read_nvml() -> tuple[Gpu, ...]:
    """NVIDIA cards with their free memory, empty where the library or driver is missing."""
    try:
        import pynvml
    except ImportError:
        return ()
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return ()
    try:
        count = pynvml.nvmlDeviceGetCount()
        return tuple(_describe(pynvml, index) for index in range(count))
    except pynvml.NVMLError:
        return ()
    finally:
        pynvml.nvmlShutdown()


def _describe(pynvml: Any, index: int) -> Gpu:
    handle = pynvml.nvmlDeviceGetHandleByIndex(index)
    memory = pynvml.nvmlDeviceGetMemoryInfo(handle)
    name = pynvml.nvmlDeviceGetName(handle)
    return Gpu(
        name=name.decode() if isinstance(name, bytes) else str(name),
        backend="cuda",
        total_bytes=int(memory.total),
        free_bytes=int(memory.free),
        bandwidth_bytes_per_s=_bandwidth(pynvml, handle),
    )


def _bandwidth(pynvml: Any, handle: Any) -> float | None:
    """Two transfers a clock over the bus's width, as data sheets compute it."""
    try:
        clock_mhz = pynvml.nvmlDeviceGetMaxClockInfo(handle, pynvml.NVML_CLOCK_MEM)
        width_bits = pynvml.nvmlDeviceGetMemoryBusWidth(handle)
    except (pynvml.NVMLError, AttributeError):
        return None
    return 2.0 * clock_mhz * 1e6 * width_bits / 8 or None
