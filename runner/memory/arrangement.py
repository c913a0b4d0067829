"""Which weights the engine copies into the processor's own arrangement, and how large the copy is.

Owns llama.cpp's rules for that on x86 and ARM, as they are when llama.cpp is built for the very
processor it runs on. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass

from .shape import Weight

ON_X86 = {"Q4_0": "avx2", "Q4_K": "avx2", "IQ4_NL": "avx2", "MXFP4": "avx2", "Q2_K": "avx512"}


@dataclass(frozen=True, slots=True)
class Packing:
    """For matrix tiles a row is cut into blocks of so many columns, each larger by some bytes."""

    columns: int
    added_bytes: int = 0


TILED = {
    "Q4_0": Packing(32),
    "Q4_1": Packing(32),
    "Q8_0": Packing(32, 4),
    "Q4_K": Packing(256, 4),
    "Q5_K": Packing(256, 4),
    "Q6_K": Packing(256),
    "IQ4_XS": Packing(256, 2),
    "F16": Packing(16),
}
TILE_ROWS = 32


def is_repacked(weight: Weight, instruction_sets: frozenset[str]) -> bool:
    """Whether the engine copies this matrix into the processor's own arrangement.

    Follows `ggml_repack_get_optimal_repack_type` of llama.cpp, and what its AMX buffers accept.
    """
    if len(weight.shape) < 2 or weight.role == "token_embd":
        return False
    if is_tiled(weight, instruction_sets):
        return True
    rows = weight.shape[1]
    if ON_X86.get(weight.type) in instruction_sets:
        return rows % 8 == 0
    if "neon" not in instruction_sets or not instruction_sets & {"dotprod", "matmul_int8"}:
        return False
    by_four = weight.type in ("Q4_0", "Q8_0", "Q1_0") or (
        weight.type in ("IQ4_NL", "MXFP4") and "dotprod" in instruction_sets
    )
    if by_four:
        return rows % 4 == 0
    return weight.type in ("Q4_K", "Q5_K", "Q6_K") and rows % 8 == 0


def is_tiled(weight: Weight, instruction_sets: frozenset[str]) -> bool:
    """Whether it is arranged for AMX tiles; stacks of experts are not."""
    packing = TILED.get(weight.type)
    if packing is None or not {"amx_int8", "avx512_vnni"} <= instruction_sets:
        return False
    if weight.role.endswith("_exps"):
        return False
    return weight.shape[0] % packing.columns == 0 and weight.shape[1] % TILE_ROWS == 0


def repacked_size_bytes(weight: Weight, instruction_sets: frozenset[str]) -> int:
    """Bytes of the copy. Follows `ggml_backend_amx_get_alloc_size`; elsewhere sizes stay."""
    if not is_tiled(weight, instruction_sets):
        return weight.size_bytes
    packing = TILED[weight.type]
    num_blocks = weight.shape[0] // packing.columns * weight.shape[1]
    return weight.size_bytes + packing.added_bytes * num_blocks
