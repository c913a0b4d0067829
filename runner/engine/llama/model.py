"""Weights and vocabulary, and how they are to be loaded.

Owns the lifetime of a llama.cpp model and its log. Facts about the C API: llama.h of the vendored
llama.cpp.
"""

from __future__ import annotations

import ctypes
import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import llama_cpp.llama_cpp as lib

from runner.errors import EngineLoadError

logger = logging.getLogger("runner.engine.llama")

Attribute = Literal["control", "unknown", "other"]
_LEVELS = {2: logging.DEBUG, 3: logging.WARNING, 4: logging.ERROR}


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


@lib.llama_log_callback  # type: ignore[untyped-decorator]  # ctypes made it
def _log_line(level: int, text: bytes, _data: int | None) -> None:
    line = text.decode("utf-8", errors="replace").rstrip()
    if line:
        logger.log(_LEVELS.get(level, logging.DEBUG), "%s", line)


def version() -> str:
    """Which llama.cpp this is; states and caches of another one are of no use."""
    from llama_cpp import __version__

    return str(__version__)


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
            raise EngineLoadError(f"llama.cpp cannot load {options.weights[0]}")
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
