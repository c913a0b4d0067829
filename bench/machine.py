"""What the figures were measured on. Owns no decision."""

from __future__ import annotations

import importlib.metadata
import platform
from pathlib import Path
from typing import Any

import psutil


def describe() -> dict[str, Any]:
    """Processor, memory, system and versions; no name of a machine or a user."""
    load = psutil.getloadavg()
    return {
        "processor": _processor(),
        "physical_cores": physical_cores(),
        "logical_cores": psutil.cpu_count(),
        "memory_bytes": psutil.virtual_memory().total,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "llama_cpp_python": importlib.metadata.version("llama-cpp-python"),
        "load_average_at_start": [round(value, 2) for value in load],
    }


def physical_cores() -> int:
    """Cores that compute: what both servers get as threads."""
    return psutil.cpu_count(logical=False) or psutil.cpu_count() or 1


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or "unknown"
