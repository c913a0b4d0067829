"""How fast a core of this machine works through weights: `python -m runner.engine.kernel THREADS`.

Owns the measuring: llama.cpp's own kernels, on matrices larger than most caches, on all cores at
once, in a throw-away child that answers in about a second. It is timed by the processor time of
each thread, so that other programs' turns do not count. What cannot be measured is left out.
"""

from __future__ import annotations

import ctypes
import importlib.util
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from runner.gguf import TENSOR_TYPES

TIMEOUT_S = 20.0
ROW = 4096
MATRIX_BYTES = 24 * 2**20
SPARE_BYTES = 4 * 2**20  # of the arena, for what ggml keeps beside the matrix
NUM_PASSES = 3
FILLING = 0x3C  # ordinary numbers in every type, about 0.01 to 1
TYPES = ("F32", "F16", "BF16", "Q8_0", "Q6_K", "Q5_K", "Q4_K", "Q3_K", "Q2_K", "Q4_0", "IQ4_NL")
REARRANGED = {
    "Q4_K": "ggml_gemv_q4_K_8x8_q8_K",
    "Q4_0": "ggml_gemv_q4_0_8x8_q8_0",
    "IQ4_NL": "ggml_gemv_iq4_nl_8x8_q8_0",
    "Q2_K": "ggml_gemv_q2_K_8x8_q8_K",
}
"""Kernels for matrices that the engine copies into the processor's own arrangement, on x86."""
MARK = "*"
NUMBERS = {kind.name: number for number, kind in TENSOR_TYPES.items()}
KEPT_ENVIRONMENT = ("PATH", "HOME", "LD_LIBRARY_PATH", "SYSTEMROOT")


Arena = ctypes.Array[ctypes.c_uint8]


class InitParams(ctypes.Structure):
    """`ggml_init_params` of ggml.h."""

    _fields_ = (
        ("mem_size", ctypes.c_size_t),
        ("mem_buffer", ctypes.c_void_p),
        ("no_alloc", ctypes.c_bool),
    )


def measure_kernels(num_threads: int, *, timeout_s: float = TIMEOUT_S) -> dict[str, float]:
    """Bytes a second of one core by tensor type, and by `TYPE*` for rearranged matrices.

    Empty where they cannot be measured.
    """
    kept = {name: os.environ[name] for name in KEPT_ENVIRONMENT if name in os.environ}
    root = str(Path(__file__).resolve().parents[2])
    command = [sys.executable, "-P", "-m", "runner.engine.kernel", str(num_threads)]
    try:
        answer = subprocess.run(
            command,
            capture_output=True,
            timeout=timeout_s,
            check=True,
            env={**kept, "PYTHONPATH": root},
        )
        found = json.loads(answer.stdout)
    except (OSError, subprocess.SubprocessError, ValueError):
        return {}
    return {str(name): float(rate) for name, rate in found.items()}


class Kernels:
    """ggml's functions on the processor."""

    def __init__(self, folder: Path) -> None:
        self.base = ctypes.CDLL(str(_library(folder, "ggml-base")), mode=ctypes.RTLD_GLOBAL)
        self.processor = ctypes.CDLL(str(_library(folder, "ggml-cpu")))
        for name in ("init", "new_tensor_2d", "mul_mat", "new_graph"):
            getattr(self.base, f"ggml_{name}").restype = ctypes.c_void_p
        self.processor.ggml_cpu_init()

    def names(self) -> Iterator[str]:
        """What can be measured with this build."""
        yield from TYPES
        for kind, function in REARRANGED.items():
            if hasattr(self.processor, function):
                yield kind + MARK

    def product(self, name: str, arena: Arena) -> Callable[[], object]:
        """A matrix of that type times a vector, to be computed by one core as often as called."""
        ctypes.memset(arena, FILLING, len(arena))
        if name.endswith(MARK):
            return self._rearranged(name.removesuffix(MARK), arena)
        base, pointer, length = self.base, ctypes.c_void_p, ctypes.c_int64
        context = pointer(base.ggml_init(InitParams(len(arena), ctypes.addressof(arena), False)))
        rows = length(num_rows(name))
        matrix = pointer(base.ggml_new_tensor_2d(context, NUMBERS[name], length(ROW), rows))
        vector = pointer(base.ggml_new_tensor_2d(context, NUMBERS["F32"], length(ROW), length(1)))
        graph = pointer(base.ggml_new_graph(context))
        base.ggml_build_forward_expand(graph, pointer(base.ggml_mul_mat(context, matrix, vector)))
        return partial(self._compute, arena, context, graph)

    def _compute(self, _kept: Arena, context: ctypes.c_void_p, graph: ctypes.c_void_p) -> None:
        """One pass; `_kept` is the memory that everything lies in."""
        self.processor.ggml_graph_compute_with_ctx(context, graph, 1)

    def _rearranged(self, kind: str, arena: Arena) -> Callable[[], object]:
        function = getattr(self.processor, REARRANGED[kind])
        function.restype = None
        result = (ctypes.c_float * num_rows(kind))()
        vector = (ctypes.c_uint8 * (4 * ROW)).from_buffer(arena, MATRIX_BYTES)
        return partial(function, ROW, result, ctypes.c_size_t(0), arena, vector, 1, num_rows(kind))


def measure(kernels: Kernels, num_threads: int, clock: Callable[[], float]) -> dict[str, float]:
    """Bytes a second of one core, by name, while `num_threads` do the same; the best pass wins."""
    rates = {}
    arenas = [(ctypes.c_uint8 * (MATRIX_BYTES + SPARE_BYTES))() for _ in range(num_threads)]
    with ThreadPoolExecutor(num_threads) as pool:
        for name in kernels.names():
            products = [kernels.product(name, arena) for arena in arenas]
            best_s = float("inf")
            for _ in range(NUM_PASSES):
                spent = pool.map(partial(_time, clock), products)
                best_s = min(best_s, sum(spent) / num_threads)
            rates[name] = num_rows(name) * row_bytes(name) / max(best_s, 1e-9)
    return rates


def library_folder() -> Path | None:
    """Where llama.cpp's libraries are installed, found without loading them."""
    spec = importlib.util.find_spec("llama_cpp")
    return Path(spec.origin).parent / "lib" if spec and spec.origin else None


def row_bytes(name: str) -> int:
    """One row of a matrix of that type."""
    kind = TENSOR_TYPES[NUMBERS[name.removesuffix(MARK)]]
    return ROW * kind.block_bytes // kind.block_length


def num_rows(name: str) -> int:
    """As many rows, in eights, as make up a matrix of the size that is measured."""
    return MATRIX_BYTES // row_bytes(name) // 8 * 8


def _time(clock: Callable[[], float], compute: Callable[[], object]) -> float:
    begun_s = clock()
    compute()
    return clock() - begun_s


def _library(folder: Path, name: str) -> Path:
    names = (f"lib{name}.so", f"lib{name}.dylib", f"{name}.dll")
    return next((folder / file for file in names if (folder / file).is_file()), folder / names[0])


def main() -> None:
    """The child."""
    folder = library_folder()
    if folder is None:
        sys.exit("llama.cpp is not installed")
    json.dump(measure(Kernels(folder), int(sys.argv[1]), time.thread_time), sys.stdout)


if __name__ == "__main__":
    main()
