"""The sums: how many bytes each part of a loaded model takes, and where.

Owns the formulas of llama.cpp's buffers as the engine loads them (one unified cache, batches of
512, flash attention on) and of the process around them. Decides nothing. Checked against what
llama.cpp itself allocates: `bench/memory_plan.py`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from .arrangement import is_repacked, repacked_size_bytes
from .quantization import BITS
from .shape import ModelShape, Weight

UBATCH = 512
SMALL_UBATCH = 32  # the engine computes small models in steps that round alike
SMALL_FILE_BYTES = 64 * 2**20
NUM_RETAINED = 32  # sequences the engine keeps beside those that run
MAX_SEQUENCES = 256
CELL_MULTIPLE = 256
PROCESS_BYTES = 64 * 2**20
HEADER_COPIES = 7.5  # a vocabulary in memory, for each byte of it in the header
GPU_PROCESS_BYTES = 300 * 2**20  # driver and kernels in the process; larger on some
INPUT_BYTES_PER_TOKEN = 32
ROTATION_BYTES = 2 * 64 * 2**10
EMBEDDING_CELLS = 1024  # the window and the chunk of `runner.engine.embedding`
EMBEDDING_CHUNK = 32
SECOND_USE = "output (shared)"


@dataclass(frozen=True, slots=True)
class Loading:
    """The sizes a context is made with."""

    num_cells: int
    parallel: int
    kv_type: str = "f16"

    @property
    def num_sequences(self) -> int:
        """Sequence ids the engine asks llama.cpp for."""
        return min(MAX_SEQUENCES, self.parallel + NUM_RETAINED)


@dataclass(frozen=True, slots=True)
class Footprint:
    """Bytes of every part. RAM first; `spare_bytes` of the mapped file are read only while loading
    (the engine keeps a copy arranged for the processor), so the system may take them back.
    `embedding_bytes` are taken from the first embedding on, by a second small context."""

    mapped_bytes: int
    repacked_bytes: int
    spare_bytes: int
    kv_bytes: int
    compute_bytes: int
    output_bytes: int
    process_bytes: int
    loading_bytes: int
    reserved_compute_bytes: int
    embedding_bytes: int = 0
    gpu_weights_bytes: int = 0
    gpu_kv_bytes: int = 0
    gpu_compute_bytes: int = 0
    gpu_embedding_bytes: int = 0

    @property
    def peak_ram_bytes(self) -> int:
        """What the process has in memory at most: while loading, or at full work of every kind."""
        return max(self._generating_bytes + self.embedding_bytes, self.loading_bytes)

    @property
    def generating_peak_bytes(self) -> int:
        """The same for an engine that is never asked for an embedding."""
        return max(self._generating_bytes, self.loading_bytes)

    @property
    def needed_ram_bytes(self) -> int:
        """What has to be there for good work: everything but the spare half of the mapping."""
        return self._generating_bytes + self.embedding_bytes - self.spare_bytes

    @property
    def gpu_bytes(self) -> int:
        """All of it that lies on GPUs."""
        cache = self.gpu_kv_bytes + self.gpu_embedding_bytes
        return self.gpu_weights_bytes + cache + self.gpu_compute_bytes

    @property
    def _generating_bytes(self) -> int:
        return (
            self.mapped_bytes
            + self.repacked_bytes
            + self.kv_bytes
            + self.compute_bytes
            + self.output_bytes
            + self.process_bytes
        )


@dataclass(frozen=True, slots=True)
class Placement:
    """Where the weights go for one number of GPU layers; the same for any context."""

    gpu_layers: int
    mapped_bytes: int
    kept_bytes: int
    repacked_bytes: int
    gpu_bytes: int


def place(shape: ModelShape, gpu_layers: int, instruction_sets: frozenset[str]) -> Placement:
    """Sort the tensors: left in the mapped file, copied for the processor, or on the GPU."""
    mapped: list[Weight] = []
    repacked_bytes = gpu_bytes = 0
    for weight in (*shape.weights, *_second_use(shape)):
        if _is_on_gpu(weight, shape.num_layers, gpu_layers):
            gpu_bytes += weight.size_bytes
        elif is_repacked(weight, instruction_sets):
            repacked_bytes += repacked_size_bytes(weight, instruction_sets)
        else:
            mapped.append(weight)
    kept_bytes = sum(weight.size_bytes for weight in mapped if weight.role != SECOND_USE)
    return Placement(gpu_layers, _mapped_span(mapped), kept_bytes, repacked_bytes, gpu_bytes)


def _second_use(shape: ModelShape) -> list[Weight]:
    """The embedding as output, in models that have no output matrix of their own."""
    if any(weight.role == "output" for weight in shape.weights):
        return []
    return [replace(one, role=SECOND_USE) for one in shape.weights if one.role == "token_embd"]


def measure(shape: ModelShape, loading: Loading, placement: Placement) -> Footprint:
    """The sums for one way of loading."""
    uses_gpu = placement.gpu_layers > 0
    kv_ram, kv_gpu = _kv_bytes(shape, loading, placement.gpu_layers)
    process = PROCESS_BYTES + round(HEADER_COPIES * shape.header_bytes)
    process += GPU_PROCESS_BYTES * uses_gpu
    reserved = reserved_compute_bytes(shape, loading)
    embedding_ram, embedding_gpu = _embedding_bytes(shape, loading, placement.gpu_layers)
    return Footprint(
        mapped_bytes=placement.mapped_bytes,
        repacked_bytes=placement.repacked_bytes,
        spare_bytes=max(0, placement.mapped_bytes - placement.kept_bytes),
        kv_bytes=kv_ram,
        compute_bytes=_touched_compute_bytes(shape, loading),
        output_bytes=loading.num_sequences * shape.vocab_size * 4,
        process_bytes=process,
        loading_bytes=sum(shape.file_bytes) + placement.repacked_bytes + process,
        reserved_compute_bytes=reserved,
        embedding_bytes=embedding_ram,
        gpu_weights_bytes=placement.gpu_bytes,
        gpu_kv_bytes=kv_gpu,
        gpu_compute_bytes=reserved * uses_gpu,
        gpu_embedding_bytes=embedding_gpu,
    )


def bytes_per_cell(shape: ModelShape, kv_type: str) -> float:
    """Keys and values of one token in all layers."""
    return sum(shape.kv_widths) * BITS[kv_type.upper()] / 8


def reserved_compute_bytes(shape: ModelShape, loading: Loading) -> int:
    """llama.cpp's compute buffer, as it allocates it for its largest graph.

    Either the output is the widest place of the graph (logits of a whole batch), or a feed-forward
    layer is, beside the attention mask (16 bits for each pair of token and cell).
    """
    batch = _batch_tokens(shape, loading)
    sequences = min(loading.num_sequences, batch)
    padded = -(-batch // sequences) * sequences
    hidden = 4 * shape.hidden_size
    is_rotated = loading.kv_type != "f16"
    head = batch * shape.vocab_size * 4 + hidden * (batch + padded + batch * is_rotated)
    layer = padded * _layer_bytes_per_token(shape, loading)
    inputs = padded * INPUT_BYTES_PER_TOKEN + ROTATION_BYTES * is_rotated
    return max(head, layer) + inputs


def _batch_tokens(shape: ModelShape, loading: Loading) -> int:
    """Tokens of one step of the graph."""
    ubatch = UBATCH if sum(shape.file_bytes) > SMALL_FILE_BYTES else SMALL_UBATCH
    return min(ubatch, loading.num_cells)


def _touched_compute_bytes(shape: ModelShape, loading: Loading) -> int:
    """The part of the compute buffer that is ever written, and the processor's own work space.

    Logits are only asked for where a token is drawn, so most of their place stays untouched.
    """
    batch = _batch_tokens(shape, loading)
    layer = batch * _layer_bytes_per_token(shape, loading)
    work = batch * max(shape.ffn_size * max(1, shape.num_active_experts), shape.hidden_size) * 2
    return layer + work + loading.parallel * shape.vocab_size * 4


def _layer_bytes_per_token(shape: ModelShape, loading: Loading) -> int:
    active = max(1, shape.num_active_experts)
    num_hidden = 4 if loading.kv_type == "f16" else 3
    wide = 4 * (3 * shape.ffn_size * active + num_hidden * shape.hidden_size)
    return wide + 2 * loading.num_cells


def _kv_bytes(shape: ModelShape, loading: Loading, gpu_layers: int) -> tuple[int, int]:
    """The cache in RAM and on GPUs; a layer's cache lies where its weights do."""
    first_gpu_layer = max(0, shape.num_layers + 1 - gpu_layers)
    bits = BITS[loading.kv_type.upper()]
    sizes = [int(width * bits / 8) * loading.num_cells for width in shape.kv_widths]
    return sum(sizes[:first_gpu_layer]), sum(sizes[first_gpu_layer:])


def _embedding_bytes(shape: ModelShape, loading: Loading, gpu_layers: int) -> tuple[int, int]:
    """The context for embeddings, in RAM and on GPUs: the cache of one window, and logits of one
    chunk both where they are computed and where they are handed out."""
    window = replace(loading, num_cells=min(loading.num_cells, EMBEDDING_CELLS), parallel=1)
    kv_ram, kv_gpu = _kv_bytes(shape, window, gpu_layers)
    chunk = min(window.num_cells, EMBEDDING_CHUNK)
    row = 4 * (shape.vocab_size + 2 * shape.hidden_size)
    computed = chunk * max(row, _layer_bytes_per_token(shape, window))
    return kv_ram + chunk * row + computed, kv_gpu + computed * (gpu_layers > 0)


def _is_on_gpu(weight: Weight, num_layers: int, gpu_layers: int) -> bool:
    """llama.cpp puts the output on the GPU first, then the last layers; never the embedding."""
    if weight.role == "token_embd" or gpu_layers <= 0:
        return False
    place = weight.layer if weight.layer >= 0 else num_layers
    return place >= num_layers + 1 - gpu_layers


def _mapped_span(weights: list[Weight]) -> int:
    """From the first to the last tensor that is used where it lies in its file."""
    spans: dict[int, tuple[int, int]] = {}
    for weight in weights:
        first, last = spans.get(weight.shard, (weight.offset, 0))
        end = weight.offset + weight.size_bytes
        spans[weight.shard] = (min(first, weight.offset), max(last, end))
    return sum(last - first for first, last in spans.values())
