"""What this machine has: cores, memory that is truly free, GPUs, disk, memory bandwidth.

Owns looking; decides nothing, and knows neither models nor the engine. Invariant: `detect` never
raises for a thing it cannot see, it leaves it out.
"""

from .bandwidth import measure_bandwidth
from .detection import Readers, detect
from .gpu import engine_backends, read_nvml
from .machine import Gpu, Hardware

__all__ = [
    "Gpu",
    "Hardware",
    "Readers",
    "detect",
    "engine_backends",
    "measure_bandwidth",
    "read_nvml",
]
