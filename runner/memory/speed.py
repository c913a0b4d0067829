"""How fast one answer is generated: the bytes each token needs over how fast they can be read.

Owns the estimate. Decoding reads every active weight and the filled part of the cache once a
token. Some types take the processor longer to unpack than memory takes to deliver, so each core
has a pace per type: measured on this machine, else the usual one. Checked by
`bench/memory_plan.py`.
"""

from __future__ import annotations

from runner.hardware import Hardware

from .arrangement import is_repacked
from .footprint import bytes_per_cell
from .shape import ModelShape, Weight

FILLED_CELLS = 512
LAYER_OVERHEAD_S = 25e-6  # about ten small operations a layer, each with its barrier
STEP_OVERHEAD_S = 0.4e-3
GPU_STEP_OVERHEAD_S = 1.5e-3
GPU_EFFICIENCY = 0.7  # of the data sheet's bandwidth
CORE_BYTES_PER_S = {
    "F32": 24e9,
    "F16": 22e9,
    "BF16": 22e9,
    "Q8_0": 22e9,
    "Q6_K": 14e9,
    "Q5_K": 13e9,
    "Q4_K": 17e9,
    "Q4_0": 17e9,
    "IQ4_NL": 17e9,
    "Q3_K": 9e9,
    "Q2_K": 9e9,
}
"""What one core of a present-day processor unpacks and multiplies, by type, where none is measured.
"""
REACHED = 0.71
"""The share of what was measured that decoding reaches: the best of several passes is not the rule,
threads wait for each other, and a mapped file lies in small pages. Calibrated on the last column of
`bench/memory_plan.py --load --speed`."""
DEFAULT_CORE_BYTES_PER_S = 10e9
SLOW_CORE = 0.5  # without 256-bit vectors or the like
WIDE_SETS = frozenset({"avx2", "dotprod", "matmul_int8", "sve"})


def predict_tokens_per_s(
    shape: ModelShape, hardware: Hardware, *, gpu_layers: int, threads: int, kv_type: str
) -> float | None:
    """Tokens a second of one answer alone; None where a GPU's bandwidth is not known."""
    share_on_gpu = min(gpu_layers, shape.num_layers + 1) / (shape.num_layers + 1)
    cache_bytes = bytes_per_cell(shape, kv_type) * FILLED_CELLS
    step_s = STEP_OVERHEAD_S + LAYER_OVERHEAD_S * shape.num_layers * (1 - share_on_gpu)
    step_s += _cpu_seconds(shape, hardware, threads) * (1 - share_on_gpu)
    step_s += cache_bytes * (1 - share_on_gpu) / hardware.memory_bandwidth_bytes_per_s
    if share_on_gpu > 0:
        paces = [gpu.bandwidth_bytes_per_s for gpu in hardware.gpus if gpu.bandwidth_bytes_per_s]
        if not paces:
            return None
        gpu_bytes = (_active_bytes(shape) + cache_bytes) * share_on_gpu
        step_s += gpu_bytes / (min(paces) * GPU_EFFICIENCY) + GPU_STEP_OVERHEAD_S
    return 1 / step_s


def _cpu_seconds(shape: ModelShape, hardware: Hardware, threads: int) -> float:
    """Reading and multiplying all active weights once."""
    bandwidth = hardware.memory_bandwidth_bytes_per_s
    bandwidth *= min(1.0, threads / max(1, hardware.physical_cores))
    cores = min(threads, hardware.physical_cores)
    seconds = 0.0
    for weight in _read_weights(shape):
        rate = min(REACHED * bandwidth, cores * _core_rate(weight, hardware))
        seconds += weight.size_bytes * _active_share(shape, weight) / rate
    return seconds


def _core_rate(weight: Weight, hardware: Hardware) -> float:
    """Bytes a second of one core while all of them work through weights of that type."""
    measured = hardware.core_bytes_per_s
    rearranged = f"{weight.type}*"
    if rearranged in measured and is_repacked(weight, hardware.instruction_sets):
        return REACHED * measured[rearranged]
    if weight.type in measured:
        return REACHED * measured[weight.type]
    pace = 1.0 if hardware.instruction_sets & WIDE_SETS else SLOW_CORE
    return CORE_BYTES_PER_S.get(weight.type, DEFAULT_CORE_BYTES_PER_S) * pace


def _active_bytes(shape: ModelShape) -> float:
    return sum(weight.size_bytes * _active_share(shape, weight) for weight in _read_weights(shape))


def _read_weights(shape: ModelShape) -> list[Weight]:
    """What a token touches whole; of the embedding only one row, unless it is the output too."""
    is_tied = not any(weight.role == "output" for weight in shape.weights)
    return [weight for weight in shape.weights if weight.role != "token_embd" or is_tied]


def _active_share(shape: ModelShape, weight: Weight) -> float:
    """Of a stack of experts only the active ones are read."""
    if not shape.num_experts or not weight.role.endswith("_exps"):
        return 1.0
    return shape.num_active_experts / shape.num_experts
