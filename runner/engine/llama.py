"""llama.cpp, wrapped: the only importer of `llama_cpp`.

Owns weights, context, batch memory and sampler chains as objects that free themselves, checks
every return code, and turns failures into exceptions. Decides nothing about who runs when.
Facts about the C API: llama.h of the vendored llama.cpp.
"""

from __future__ import annotations

import ctypes
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import llama_cpp.llama_cpp as lib
import numpy as np
import numpy.typing as npt

from runner.errors import EngineLoadError

logger = logging.getLogger(__name__)

KV_TYPES = {"f16": lib.GGML_TYPE_F16, "q8_0": lib.GGML_TYPE_Q8_0, "q4_0": lib.GGML_TYPE_Q4_0}
POOLING = {
    "model": lib.LLAMA_POOLING_TYPE_UNSPECIFIED,
    "mean": lib.LLAMA_POOLING_TYPE_MEAN,
}
Attribute = Literal["control", "unknown", "other"]
Logits = npt.NDArray[np.float32]
_LEVELS = {2: logging.DEBUG, 3: logging.WARNING, 4: logging.ERROR}


class DecodeAborted(Exception):  # noqa: N818 - an outcome of a step, not an error
    """The abort flag was raised while the batch was computed; the step has to be undone."""


class DecodeFailed(Exception):  # noqa: N818 - an outcome of a step, not an error
    """llama_decode refused the batch; `code` 1 means that no cells were found for it."""

    def __init__(self, code: int) -> None:
        super().__init__(f"llama_decode returned {code}")
        self.code = code


@dataclass(frozen=True, slots=True)
class LoadOptions:
    """How weights become an engine. `num_cells` is the whole KV cache, shared by all sequences."""

    weights: tuple[str, ...]
    num_cells: int
    num_sequences: int
    num_threads: int
    batch_size: int = 2048
    ubatch_size: int = 512
    gpu_layers: int = 0
    kv_type: str = "f16"
    use_mmap: bool = True
    repack: bool = True


def route_log() -> None:
    """Send llama.cpp's log lines to this module's logger; safe to call again."""
    lib.llama_log_set(_log_line, ctypes.c_void_p(None))


@lib.llama_log_callback  # type: ignore[untyped-decorator]
def _log_line(level: int, text: bytes, _data: int | None) -> None:
    line = text.decode("utf-8", errors="replace").rstrip()
    if line:
        logger.log(_LEVELS.get(level, logging.DEBUG), "%s", line)


def system_info() -> str:
    """llama.cpp's own line about instruction sets and backends."""
    info: bytes = lib.llama_print_system_info()
    return info.decode("utf-8", errors="replace")


class Model:
    """Weights and vocabulary. Call `close` after every context on it is closed."""

    def __init__(
        self, options: LoadOptions, *, on_progress: Callable[[float], None] | None = None
    ) -> None:
        route_log()
        lib.llama_backend_init()
        params = lib.llama_model_default_params()
        params.n_gpu_layers = options.gpu_layers
        params.use_extra_bufts = options.repack
        if not options.use_mmap:
            params.load_mode = 0
        self._progress = lib.llama_progress_callback(
            lambda share, _data: on_progress is None or on_progress(share) is None
        )
        params.progress_callback = self._progress
        paths = [path.encode() for path in options.weights]
        array = (ctypes.c_char_p * len(paths))(*paths)
        self.handle = lib.llama_model_load_from_splits(array, len(paths), params)
        if not self.handle:
            raise EngineLoadError(f"llama.cpp cannot load {options.weights[0]}; see its log")
        self.vocab = lib.llama_model_get_vocab(self.handle)
        self.num_vocab: int = lib.llama_vocab_n_tokens(self.vocab)
        self.context_length: int = lib.llama_model_n_ctx_train(self.handle)
        self.embedding_size: int = lib.llama_model_n_embd(self.handle)
        self.size_bytes: int = lib.llama_model_size(self.handle)
        self._piece_buffer = ctypes.create_string_buffer(512)

    @property
    def has_plain_memory(self) -> bool:
        """Whether any part of a sequence's cache can be shared or removed."""
        recurrent = lib.llama_model_is_recurrent(self.handle)
        hybrid = lib.llama_model_is_hybrid(self.handle)
        return not recurrent and not hybrid and lib.llama_model_n_swa(self.handle) == 0

    def close(self) -> None:
        """Free the weights."""
        if self.handle:
            lib.llama_model_free(self.handle)
            self.handle = None

    def metadata(self, key: str) -> str | None:
        """A metadata value as text, None where the file has none."""
        size = 1 << 12
        while True:
            buffer = ctypes.create_string_buffer(size)
            length = lib.llama_model_meta_val_str(self.handle, key.encode(), buffer, size)
            if length < 0:
                return None
            if length < size:
                return buffer.value.decode("utf-8", errors="replace")
            size = length + 1

    def tokenize(self, text: str, *, special: bool, first: bool = False) -> list[int]:
        """Token ids of the text. `special` reads control tokens in it; `first` may add BOS."""
        data = text.encode("utf-8")
        room = len(data) + 8
        while True:
            tokens = (lib.llama_token * room)()
            count = lib.llama_tokenize(self.vocab, data, len(data), tokens, room, first, special)
            if count >= 0:
                return tokens[:count]
            room = -count

    def piece(self, token: int, *, special: bool = True) -> bytes:
        """The bytes a token stands for; control tokens have text only with `special`."""
        buffer = self._piece_buffer
        length = lib.llama_token_to_piece(self.vocab, token, buffer, len(buffer), 0, special)
        if length < 0:
            buffer = ctypes.create_string_buffer(-length)
            length = lib.llama_token_to_piece(self.vocab, token, buffer, len(buffer), 0, special)
        return buffer.raw[:length]

    def is_end(self, token: int) -> bool:
        """Whether the vocabulary calls this token an end of generation."""
        return bool(lib.llama_vocab_is_eog(self.vocab, token))

    def attribute(self, token: int) -> Attribute:
        """What kind of token the vocabulary says it is."""
        bits = lib.llama_vocab_get_attr(self.vocab, token)
        if bits & lib.LLAMA_TOKEN_ATTR_CONTROL:
            return "control"
        return "unknown" if bits & lib.LLAMA_TOKEN_ATTR_UNKNOWN else "other"

    @cached_property
    def end_tokens(self) -> tuple[int, ...]:
        """Every end-of-generation token of the vocabulary."""
        return tuple(token for token in range(self.num_vocab) if self.is_end(token))

    def end_token(self) -> int:
        """The token that ends a turn, -1 where the vocabulary has none."""
        token: int = lib.llama_vocab_eot(self.vocab)
        return token if token >= 0 else int(lib.llama_vocab_eos(self.vocab))

    def begin_text(self) -> str:
        """The text of the BOS token where the vocabulary adds one, else empty."""
        token = lib.llama_vocab_bos(self.vocab)
        if token < 0:
            return ""
        return self.piece(token).decode("utf-8", errors="replace")

    @property
    def adds_begin(self) -> bool:
        """Whether prompts start with a BOS token."""
        return bool(lib.llama_vocab_get_add_bos(self.vocab))


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
        return np.ctypeslib.as_array(pointer, shape=(self.model.num_vocab,))

    def share(self, source: int, target: int, start: int, stop: int) -> None:
        """Let `target` read the cells of `source` at [start, stop); nothing is copied."""
        lib.llama_memory_seq_cp(self._memory, source, target, start, stop)

    def remove(self, slot: int, start: int, stop: int = -1) -> None:
        """Take a slot off its cells from position `start` on (to `stop`, -1 for the end)."""
        if not lib.llama_memory_seq_rm(self._memory, slot, start, stop):
            lib.llama_memory_seq_rm(self._memory, slot, -1, -1)
            raise DecodeFailed(1)

    def embedding(self, slot: int) -> Logits:
        """The pooled embedding of a sequence, a view."""
        pointer = lib.llama_get_embeddings_seq(self.handle, slot)
        return np.ctypeslib.as_array(pointer, shape=(self.model.embedding_size,))


class SamplerChain:
    """llama.cpp samplers in order; owned by one sequence, freed with it."""

    def __init__(self) -> None:
        self._handle = lib.llama_sampler_chain_init(lib.llama_sampler_chain_default_params())
        self._kept: list[Any] = []

    def add(self, name: str, *arguments: Any) -> None:
        """Append the sampler that `llama_sampler_init_<name>` makes."""
        made = getattr(lib, f"llama_sampler_init_{name}")(*arguments)
        if not made:
            raise ValueError(f"llama.cpp refused the {name} sampler")
        lib.llama_sampler_chain_add(self._handle, made)

    def add_bias(self, model: Model, bias: Sequence[tuple[int, float]]) -> None:
        """Append fixed additions to the logits of some tokens."""
        rows = (lib.llama_logit_bias * len(bias))(
            *(lib.llama_logit_bias(token, value) for token, value in bias)
        )
        self.add("logit_bias", model.num_vocab, len(bias), rows)

    def add_dry(self, model: Model, settings: Sequence[float | int], breaks: list[bytes]) -> None:
        """Append the DRY repetition penalty: multiplier, base, allowed length, last n."""
        array = (ctypes.c_char_p * len(breaks))(*breaks)
        self.add("dry", model.vocab, *settings, array, len(breaks))

    def sample(self, context: Context, row: int) -> int:
        """Draw from the logits of one output row, and accept what was drawn."""
        return int(lib.llama_sampler_sample(self._handle, context.handle, row))

    def accept(self, token: int) -> None:
        """Tell the penalties about a token that came from elsewhere."""
        lib.llama_sampler_accept(self._handle, token)

    def close(self) -> None:
        """Free the chain and its samplers."""
        if self._handle:
            lib.llama_sampler_free(self._handle)
            self._handle = None


class DryModel(Model):
    """Weights that are counted, not loaded: contexts on it allocate nothing either. For probes."""

    def __init__(self, options: LoadOptions) -> None:
        route_log()
        lib.llama_backend_init()
        params = lib.llama_model_default_params()
        params.n_gpu_layers = options.gpu_layers
        params.no_alloc, params.load_mode = True, 0  # any other mode aborts the process
        paths = [path.encode() for path in options.weights]
        array = (ctypes.c_char_p * len(paths))(*paths)
        self.handle = lib.llama_model_load_from_splits(array, len(paths), params)
        if not self.handle:
            raise EngineLoadError(f"llama.cpp cannot read {options.weights[0]}")
        self.size_bytes = lib.llama_model_size(self.handle)
