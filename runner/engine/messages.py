"""The only words that cross the pipe between the parent and the engine's child.

Owns their shapes and the framing: four bytes of length, big-endian, then msgpack. Both sides
import this module and nothing else of each other.
"""

from __future__ import annotations

import struct
from typing import Any

import msgspec

from runner.types import (
    Constraint,
    Interjection,
    Overflow,
    PromptPiece,
    SamplingParams,
    Timings,
    TokenLogprob,
)

MAX_FRAME_BYTES = 256 * 2**20
_LENGTH = struct.Struct(">I")


class _Word(msgspec.Struct, frozen=True, tag=True, array_like=True):
    """A message; positional on the wire."""


class Load(_Word, frozen=True):
    """Parent: load these weights. Sizes in tokens, `parallel` in concurrent sequences.

    `turns` is a file that engines of one machine lock for each step, so that they take turns on
    the cores instead of spinning against each other; empty for none. Computed prefixes are kept
    in `prefix_folder` (empty for nowhere), at most `prefix_bytes` of them. The process may not
    allocate more than `memory_limit_bytes` (0 for no limit); mapped weights do not count. The
    smaller model of the files in `draft` guesses ahead. Where `thread_choices` are given, each is
    tried before the first request and the fastest is used instead of `threads`.
    """

    weights: list[str]
    context: int
    parallel: int
    num_cells: int
    threads: int
    gpu_layers: int = 0
    kv_type: str = "f16"
    repack: bool = True
    turns: str = ""
    prefix_folder: str = ""
    prefix_bytes: int = 0
    memory_limit_bytes: int = 0
    draft: list[str] = []
    thread_choices: list[int] = []


class Submit(_Word, frozen=True):
    """Parent: generate. The prompt is text in pieces, or token ids; `resume` continues an answer.

    `resume` holds tokens of the answer that the parent has already passed on.
    """

    id: int
    pieces: list[PromptPiece]
    tokens: list[int]
    sampling: SamplingParams
    max_tokens: int | None
    tenant: str = ""
    cache_prompt: bool = True
    overflow: Overflow = "error"
    constraint: Constraint | None = None
    interjection: Interjection | None = None
    resume: list[int] = []


class Cancel(_Word, frozen=True):
    """Parent: stop a sequence; no answer comes."""

    id: int


class Tokenize(_Word, frozen=True):
    """Parent: the token ids of a text, after a BOS if asked for and the vocabulary has one."""

    id: int
    pieces: list[PromptPiece]
    add_begin: bool = False


class Detokenize(_Word, frozen=True):
    """Parent: the text of token ids."""

    id: int
    tokens: list[int]


class Embed(_Word, frozen=True):
    """Parent: one vector for a text or for token ids."""

    id: int
    pieces: list[PromptPiece]
    tokens: list[int]


class Stop(_Word, frozen=True):
    """Parent: end now."""


class Loaded(_Word, frozen=True):
    """Child: the weights are loaded; what the parent needs to know of them.

    `tokens_per_s` is what one stream ran at with `num_threads`, 0 where nothing was tried.
    """

    num_context: int
    num_train_context: int
    num_vocab: int
    embedding_size: int
    size_bytes: int
    bos: str
    eos: str
    chat_template: str | None
    tool_template: str | None
    metadata: dict[str, str]
    num_threads: int = 0
    tokens_per_s: float = 0.0
    has_draft: bool = False


class LoadFailed(_Word, frozen=True):
    """Child: the weights cannot be loaded; it exits."""

    message: str


class LoadProgress(_Word, frozen=True):
    """Child: the share of the weights that is loaded, 0 to 1."""

    share: float


class Started(_Word, frozen=True):
    """Child: the sequence runs; `num_cached` of its prompt tokens were already computed."""

    id: int
    num_prompt: int
    num_cached: int


class Output(_Word, frozen=True):
    """Child: new text of one sequence and the tokens behind it (text may lag behind)."""

    id: int
    text: str
    tokens: list[int]
    logprobs: list[TokenLogprob] = []


class Outputs(_Word, frozen=True):
    """Child: what one step produced."""

    outputs: list[Output]


class Done(_Word, frozen=True):
    """Child: a sequence ended by itself. `reason` is `stop` or `length`."""

    id: int
    reason: str
    num_prompt: int
    num_cached: int
    num_generated: int
    timings: Timings


class Failed(_Word, frozen=True):
    """Child: a request could not be served. `kind` names the error, `numbers` its details."""

    id: int
    kind: str
    message: str
    numbers: list[int] = []


class Tokens(_Word, frozen=True):
    """Child: the answer to `Tokenize`."""

    id: int
    tokens: list[int]


class Text(_Word, frozen=True):
    """Child: the answer to `Detokenize`."""

    id: int
    text: str


class Vector(_Word, frozen=True):
    """Child: the answer to `Embed`, normalised."""

    id: int
    values: list[float]
    num_tokens: int


class Status(_Word, frozen=True):
    """Child, several times a second: how it is. `step` grows with every step it finished."""

    step: int
    is_busy: bool
    num_running: int
    num_waiting: int
    num_cells: int
    num_free: int
    num_cached: int
    num_live: int
    num_shared: int
    tokens_generated: int
    prompt_tokens: int
    cached_tokens: int
    tokens_per_s: float


FromParent = Load | Submit | Cancel | Tokenize | Detokenize | Embed | Stop
FromChild = (
    Loaded
    | LoadFailed
    | LoadProgress
    | Started
    | Outputs
    | Done
    | Failed
    | Tokens
    | Text
    | Vector
    | Status
)

_encoder = msgspec.msgpack.Encoder()
_from_parent = msgspec.msgpack.Decoder(FromParent)
_from_child: Any = msgspec.msgpack.Decoder(FromChild)


def encode(message: FromParent | FromChild) -> bytes:
    """One frame."""
    body = _encoder.encode(message)
    return _LENGTH.pack(len(body)) + body


def decode_from_parent(body: bytes) -> FromParent:
    """A frame's body, read in the child."""
    message: FromParent = _from_parent.decode(body)
    return message


def decode_from_child(body: bytes) -> FromChild:
    """A frame's body, read in the parent."""
    message: FromChild = _from_child.decode(body)
    return message


class FrameSplitter:
    """Bytes in any pieces to whole frame bodies."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """The bodies that these bytes complete. Raises ValueError on an impossible length."""
        self._buffer += data
        bodies = []
        start = 0
        while len(self._buffer) - start >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._buffer, start)
            if length > MAX_FRAME_BYTES:
                raise ValueError(f"a frame of {length} bytes is not one of ours")
            end = start + _LENGTH.size + length
            if len(self._buffer) < end:
                break
            bodies.append(bytes(self._buffer[start + _LENGTH.size : end]))
            start = end
        del self._buffer[:start]
        return bodies
