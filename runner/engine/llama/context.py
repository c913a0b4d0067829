"""The KV cache and the compute graph: batches in, logits out, cells shared and removed.

Owns a llama.cpp context and the memory of a batch; checks every return code. Decides nothing
about who runs when.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import llama_cpp.llama_cpp as lib
import numpy as np
import numpy.typing as npt

from runner.errors import EngineLoadError

from .model import LoadOptions, Model

KV_TYPES = {"f16": lib.GGML_TYPE_F16, "q8_0": lib.GGML_TYPE_Q8_0, "q4_0": lib.GGML_TYPE_Q4_0}
POOLING = {
    "model": lib.LLAMA_POOLING_TYPE_UNSPECIFIED,
    "mean": lib.LLAMA_POOLING_TYPE_MEAN,
}
Logits = npt.NDArray[np.float32]


class DecodeAborted(Exception):  # noqa: N818 - an outcome of a step, not an error
    """The abort flag was raised while the batch was computed; the step has to be undone."""


class DecodeFailed(Exception):  # noqa: N818 - an outcome of a step, not an error
    """llama_decode refused the batch; `code` 1 means that no cells were found for it."""

    def __init__(self, code: int) -> None:
        super().__init__(f"llama_decode returned {code}")
        self.code = code


def _cast(array: Any, kind: Any) -> Any:
    return ctypes.cast(array, ctypes.POINTER(kind))


def _pointer(array: npt.NDArray[Any], kind: Any) -> Any:
    return array.ctypes.data_as(ctypes.POINTER(kind))


class Batch:
    """Input of one decode: columns that are filled in place, allocated once.

    Every token belongs to exactly one sequence, so the pointers never change.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.num_tokens = 0
        self._tokens = np.zeros(capacity, dtype=np.int32)
        self._positions = np.zeros(capacity, dtype=np.int32)
        self._counts = np.ones(capacity, dtype=np.int32)
        self._slots = np.zeros(capacity, dtype=np.int32)
        self._outputs = np.zeros(capacity, dtype=np.int8)
        base, width = self._slots.ctypes.data, self._slots.itemsize
        pointer = ctypes.POINTER(lib.llama_seq_id)
        self._rows = (pointer * capacity)(
            *(ctypes.cast(base + row * width, pointer) for row in range(capacity))
        )
        self.raw: Any = lib.llama_batch()
        self.raw.token = _pointer(self._tokens, lib.llama_token)
        self.raw.pos = _pointer(self._positions, lib.llama_pos)
        self.raw.n_seq_id = _pointer(self._counts, ctypes.c_int32)
        self.raw.seq_id = _cast(self._rows, pointer)
        self.raw.logits = _pointer(self._outputs, ctypes.c_int8)

    def clear(self) -> None:
        """Start a new step."""
        self.num_tokens = 0

    def add(self, slot: int, tokens: Sequence[int], start: int, num_outputs: int) -> int:
        """Append tokens at positions `start…`; logits for the last `num_outputs` of them.

        Returns the row after the last token, so outputs are rows `end - num_outputs … end - 1`.
        """
        first, last = self.num_tokens, self.num_tokens + len(tokens)
        self._tokens[first:last] = tokens
        self._positions[first:last] = range(start, start + len(tokens))
        self._slots[first:last] = slot
        self._outputs[first:last] = 0
        if num_outputs:
            self._outputs[last - num_outputs : last] = 1
        self.num_tokens = last
        return last


class AbortFlag:
    """A flag that llama.cpp reads between graph nodes without taking Python's lock.

    The abort callback is the C library's own `strlen` over a two-byte buffer: empty means go on,
    one character means stop. A Python callback would cost milliseconds a step.
    """

    def __init__(self) -> None:
        self._text = ctypes.create_string_buffer(2)
        strlen = ctypes.CDLL(None).strlen
        self.callback = ctypes.cast(strlen, lib.ggml_abort_callback)
        self.data = ctypes.cast(self._text, ctypes.c_void_p)

    def raise_(self) -> None:
        """Stop the decode that runs now, or the next one."""
        self._text.raw = b"\x01\x00"

    def lower(self) -> None:
        """Let decodes run again."""
        self._text.raw = b"\x00\x00"


class Context:
    """The KV cache and the compute graph over one model."""

    def __init__(self, model: Model, options: LoadOptions, *, pooling: str | None = None) -> None:
        params = lib.llama_context_default_params()
        params.n_ctx = options.num_cells
        params.n_batch = options.batch_size
        params.n_ubatch = min(options.ubatch_size, options.batch_size)
        params.n_seq_max = options.num_sequences
        params.n_threads = params.n_threads_batch = options.num_threads
        params.type_k = params.type_v = KV_TYPES[options.kv_type]
        params.flash_attn_type = -1 if options.kv_type == "f16" else 1
        params.kv_unified = True
        if pooling is not None:
            params.embeddings = True
            params.pooling_type = POOLING[pooling]
        params.no_perf = True
        self.abort = AbortFlag()
        params.abort_callback = self.abort.callback
        params.abort_callback_data = self.abort.data
        self.handle = lib.llama_init_from_model(model.handle, params)
        if not self.handle:
            raise EngineLoadError(
                f"llama.cpp cannot make a context of {options.num_cells} tokens; try a smaller "
                "--ctx or --parallel, or --kv-type q8_0"
            )
        self.model = model
        self.num_cells: int = lib.llama_n_ctx(self.handle)
        self._memory = lib.llama_get_memory(self.handle)

    def close(self) -> None:
        """Free the cache."""
        if self.handle:
            lib.llama_free(self.handle)
            self.handle = None

    def use_threads(self, count: int) -> None:
        """Compute with so many threads from now on."""
        lib.llama_set_n_threads(self.handle, count, count)

    def decode(self, batch: Batch) -> None:
        """Compute the batch.

        Raises:
            DecodeAborted: the abort flag was raised.
            DecodeFailed: no cells (code 1), or the batch was refused.
        """
        batch.raw.n_tokens = batch.num_tokens
        code = lib.llama_decode(self.handle, batch.raw)
        if code == 2:
            raise DecodeAborted
        if code != 0:
            raise DecodeFailed(code)

    def logits(self, row: int) -> Logits:
        """The logits of one output row: a view that the next decode overwrites."""
        pointer = lib.llama_get_logits_ith(self.handle, row)
        address = ctypes.addressof(pointer.contents)
        values: Logits = np.ctypeslib.as_array(self._row_type.from_address(address))
        return values

    @cached_property
    def _row_type(self) -> Any:
        return ctypes.c_float * self.model.num_vocab

    def share(self, source: int, target: int, start: int, stop: int) -> None:
        """Let `target` read the cells of `source` at [start, stop); nothing is copied."""
        lib.llama_memory_seq_cp(self._memory, source, target, start, stop)

    def remove(self, slot: int, start: int, stop: int = -1) -> None:
        """Take a slot off its cells from position `start` on (to `stop`, -1 for the end)."""
        if not lib.llama_memory_seq_rm(self._memory, slot, start, stop):
            lib.llama_memory_seq_rm(self._memory, slot, -1, -1)
            raise DecodeFailed(1)

    def save_state(self, slot: int) -> bytes:
        """The cells of a sequence as bytes that only this build of llama.cpp understands."""
        size = lib.llama_state_seq_get_size(self.handle, slot)
        buffer = (ctypes.c_uint8 * size)()
        written = lib.llama_state_seq_get_data(self.handle, buffer, size, slot)
        return bytes(memoryview(buffer)[:written])

    def load_state(self, slot: int, state: bytes) -> bool:
        """Fill an empty slot with saved cells; False, and the slot stays empty, if it cannot be."""
        buffer = (ctypes.c_uint8 * len(state)).from_buffer_copy(state)
        if lib.llama_state_seq_set_data(self.handle, buffer, len(state), slot) == len(state):
            return True
        self.remove(slot, 0)
        return False

    def embedding(self, slot: int) -> Logits:
        """The pooled embedding of a sequence, a view."""
        pointer = lib.llama_get_embeddings_seq(self.handle, slot)
        return np.ctypeslib.as_array(pointer, shape=(self.model.embedding_size,))
