"""Cores and instruction sets.

Owns what can be asked of the system without running anything of length. The names of instruction
sets are llama.cpp's, in lower case.
"""

from __future__ import annotations

import os
import platform
import subprocess
from pathlib import Path

X86 = {
    "avx": "avx",
    "avx2": "avx2",
    "fma": "fma",
    "f16c": "f16c",
    "bmi2": "bmi2",
    "avx512f": "avx512",
    "avx512_vnni": "avx512_vnni",
    "avx512_bf16": "avx512_bf16",
    "avx_vnni": "avx_vnni",
    "amx_int8": "amx_int8",
}
ARM = {"asimd": "neon", "neon": "neon", "asimddp": "dotprod", "i8mm": "matmul_int8", "sve": "sve"}
APPLE = {"FEAT_DotProd": "dotprod", "FEAT_I8MM": "matmul_int8"}


def read_instruction_sets(root: Path) -> frozenset[str]:
    """What the processor offers of the sets that make a difference to the engine."""
    found: set[str] = set()
    try:
        lines = (root / "proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return _apple_sets() if platform.system() == "Darwin" else frozenset()
    for line in lines:
        key, _, value = line.partition(":")
        if key.strip() in ("flags", "Features"):
            words = value.split()
            found = {name for word, name in (X86 | ARM).items() if word in words}
            break
    return frozenset(found)


def count_usable_cores() -> int:
    """Logical cores this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return max(1, len(os.sched_getaffinity(0)))
    return os.cpu_count() or 1


def _apple_sets() -> frozenset[str]:
    if platform.machine() != "arm64":
        return frozenset({"avx", "avx2", "fma", "f16c", "bmi2"})
    found = {"neon"}
    for key, name in APPLE.items():
        try:
            answer = subprocess.run(
                ["/usr/sbin/sysctl", "-n", f"hw.optional.arm.{key}"],
                capture_output=True,
                text=True,
                timeout=5,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired):
            continue
        if answer.stdout.strip() == "1":
            found.add(name)
    return frozenset(found)
