"""The header as it lies in the file: numbers, texts and tensor places, not yet interpreted.

Owns every bound. Invariant: whatever the bytes are, reading ends with a header or `GgufError`,
within `MAX_HEADER_BYTES` read and without an allocation that the file's own size could not
justify; vocabularies are stepped over, never kept. Layout:
https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

from __future__ import annotations

import math
import re
import struct
from dataclasses import dataclass, replace

from runner.errors import GgufError

from .source import ByteSource
from .tensor_type import TENSOR_TYPES

MAX_HEADER_BYTES = 128 * 2**20
MAX_FIELDS = 4096
MAX_TENSORS = 16_384
MAX_ARRAY_STRINGS = 2**20
MAX_KEY_BYTES = 512
MAX_NAME_BYTES = 64
MAX_TEXT_BYTES = 2**20
MAX_KEPT_ITEMS = 4096
WINDOW_BYTES = (64 * 2**10, 4 * 2**20)

SCALARS = {
    0: "B",
    1: "b",
    2: "H",
    3: "h",
    4: "I",
    5: "i",
    6: "f",
    7: "?",
    10: "Q",
    11: "q",
    12: "d",
}
STRING, ARRAY = 8, 9
KEPT_TEXTS = re.compile(
    r"general\.(architecture|name)$|tokenizer\.chat_template|tokenizer\.ggml\.(model|pre)$|.*\.rope\."
)
LEGACY = "is a legacy GGML file, which llama.cpp no longer loads; get a .gguf of the same model"
WEB_PAGE = "is a web page, not weights; download it again"
NOT_GGUF = {
    b"ggml": LEGACY,
    b"lmgg": LEGACY,
    b"ggjt": LEGACY,
    b"tjgg": LEGACY,
    b"ggmf": LEGACY,
    b"fmgg": LEGACY,
    b"vers": "is a Git LFS pointer, not the weights; download the file it points to",
    b"<!DO": WEB_PAGE,
    b"<!do": WEB_PAGE,
    b"<htm": WEB_PAGE,
    b"PK\x03\x04": "is a zip archive (a PyTorch checkpoint?), not GGUF; convert it first",
}

Scalar = int | float | bool
Value = Scalar | str | tuple[Scalar, ...]


@dataclass(frozen=True, slots=True)
class TensorFacts:
    """One tensor: `shape` is innermost first as ggml has it, `offset` is from its file's start."""

    name: str
    type: str
    shape: tuple[int, ...]
    offset: int
    size_bytes: int
    shard: int = 0

    @property
    def num_weights(self) -> int:
        """How many numbers it holds."""
        return math.prod(self.shape)


class Cursor:
    """Reads forward through a source in growing windows, never past `MAX_HEADER_BYTES`."""

    def __init__(self, source: ByteSource) -> None:
        self._source = source
        self._window = b""
        self._start = 0
        self._window_bytes = WINDOW_BYTES[0]
        self.size = source.size
        self.position = 0

    def take(self, size: int) -> bytes:
        """The next `size` bytes."""
        begin, end = self.position, self.skip(size)
        if begin < self._start or end > self._start + len(self._window):
            self._refill(begin, size)
        return self._window[begin - self._start : end - self._start]

    def skip(self, size: int) -> int:
        """Step over `size` bytes, and return where that is."""
        end = self.position + size
        if end > self.size:
            raise GgufError(f"is cut short: it has {self.size} bytes, its header needs {end}")
        if end > MAX_HEADER_BYTES:
            raise GgufError(f"has a header of more than {MAX_HEADER_BYTES} bytes; it is damaged")
        self.position = end
        return end

    def skip_strings(self, count: int) -> None:
        """Step over `count` length-prefixed strings without keeping any."""
        unpack = struct.Struct("<Q").unpack_from
        while count:
            self.take(8)
            begin = at = self.position - 8 - self._start
            last = len(self._window) - 8
            while count and at <= last:
                at += 8 + unpack(self._window, at)[0]
                count -= 1
            self.position -= 8
            self.skip(at - begin)

    def number(self, code: str) -> Scalar:
        """One little-endian number of that struct code."""
        value: Scalar = struct.unpack("<" + code, self.take(struct.calcsize("<" + code)))[0]
        return value

    def count(self, code: str, limit: int, what: str) -> int:
        """A number that must not exceed `limit`."""
        value = int(self.number(code))
        if value > limit:
            raise GgufError(f"claims {value} {what}, more than {limit}; it is damaged")
        return value

    def text(self, limit: int, what: str) -> str:
        """One string of at most `limit` bytes."""
        size = self.count("Q", limit, f"bytes of {what}")
        return self.take(size).decode("utf-8", errors="replace")

    def _refill(self, begin: int, size: int) -> None:
        want = min(max(size, self._window_bytes), self.size - begin)
        try:
            self._window = self._source.read(begin, want)
        except OSError as error:
            raise GgufError(f"cannot be read: {error.strerror or error}") from None
        self._start = begin
        self._window_bytes = min(2 * self._window_bytes, WINDOW_BYTES[1])
        if len(self._window) < size:
            raise GgufError(f"is cut short at {begin + len(self._window)} of {self.size} bytes")


class Header:
    """The parsed but not yet interpreted header."""

    def __init__(self, cursor: Cursor) -> None:
        self._cursor = cursor
        self.fields: dict[str, Value] = {}
        self.lengths: dict[str, int] = {}
        self._num_strings = 0
        self._num_text_bytes = 0
        self.version = self._read_magic()
        num_tensors = cursor.count("Q", MAX_TENSORS, "tensors")
        for _ in range(cursor.count("Q", MAX_FIELDS, "fields")):
            self._read_field()
        self.tensors = self._read_tensors(num_tensors)

    def _read_magic(self) -> int:
        magic = self._cursor.take(min(4, self._cursor.size))
        if magic in NOT_GGUF:
            raise GgufError(NOT_GGUF[magic])
        if magic != b"GGUF":
            raise GgufError(f"is not a GGUF file: it starts with {magic!r}")
        version = int(self._cursor.number("I"))
        if version & 0xFFFF == 0:
            raise GgufError("is big-endian, which this machine cannot load")
        if version not in (2, 3):
            raise GgufError(f"has GGUF version {version}; versions 2 and 3 can be loaded")
        return version

    def _read_field(self) -> None:
        key = self._cursor.text(MAX_KEY_BYTES, "key")
        if key in self.fields or key in self.lengths:
            raise GgufError(f"has the key {key!r} twice; it is damaged")
        kind = int(self._cursor.number("I"))
        if kind == ARRAY:
            self._read_array(key)
        elif kind == STRING:
            self._read_text(key)
        else:
            self.fields[key] = self._cursor.number(_scalar_code(kind))

    def _read_text(self, key: str) -> None:
        if KEPT_TEXTS.match(key):
            text = self._cursor.text(MAX_TEXT_BYTES, key)
            self._num_text_bytes += len(text)
            if self._num_text_bytes > 8 * MAX_TEXT_BYTES:
                raise GgufError("has too much text in its header; it is damaged")
            self.fields[key] = text
        else:
            self._cursor.skip_strings(1)
            self.lengths[key] = 1

    def _read_array(self, key: str) -> None:
        kind = int(self._cursor.number("I"))
        count = self.lengths[key] = int(self._cursor.number("Q"))
        if kind == STRING:
            self._num_strings += count
            if self._num_strings > MAX_ARRAY_STRINGS:
                raise GgufError(f"claims {count} strings in {key!r}; it is damaged")
            self._cursor.skip_strings(count)
            return
        code = _scalar_code(kind)
        size = struct.calcsize("<" + code) * count
        if count <= MAX_KEPT_ITEMS and not key.startswith("tokenizer."):
            self.fields[key] = struct.unpack(f"<{count}{code}", self._cursor.take(size))
        else:
            self._cursor.skip(size)

    def _read_tensors(self, num_tensors: int) -> tuple[TensorFacts, ...]:
        infos = [self._read_tensor() for _ in range(num_tensors)]
        if len({info.name for info in infos}) != num_tensors:
            raise GgufError("has two tensors of one name; it is damaged")
        alignment = self.fields.get("general.alignment", 32)
        if type(alignment) is not int or not 8 <= alignment <= 2**16 or alignment & (alignment - 1):
            raise GgufError(f"has an alignment of {alignment!r}; it is damaged")
        start = _align(self._cursor.position, alignment)
        expected = 0
        for info in infos:
            if info.offset != expected:
                raise GgufError(f"has tensor {info.name!r} at the wrong place; it is damaged")
            expected = _align(expected + info.size_bytes, alignment)
            if start + info.offset + info.size_bytes > self._cursor.size:
                needed = start + info.offset + info.size_bytes
                raise GgufError(
                    f"is cut short: it has {self._cursor.size} bytes, but tensor {info.name!r} "
                    f"ends at {needed}; download it again"
                )
        return tuple(replace(info, offset=start + info.offset) for info in infos)

    def _read_tensor(self) -> TensorFacts:
        cursor = self._cursor
        name = cursor.text(MAX_NAME_BYTES, "tensor name")
        shape = tuple(
            cursor.count("Q", 2**48, "rows") for _ in range(cursor.count("I", 4, "dimensions"))
        )
        kind, offset = int(cursor.number("I")), int(cursor.number("Q"))
        if kind not in TENSOR_TYPES:
            raise GgufError(f"stores {name!r} as type {kind}, which llama.cpp does not know")
        packing = TENSOR_TYPES[kind]
        num_weights = math.prod(shape)
        if not 0 < num_weights <= 2**48 or not shape or shape[0] % packing.block_length:
            raise GgufError(f"has tensor {name!r} of impossible shape {shape}; it is damaged")
        size_bytes = num_weights // packing.block_length * packing.block_bytes
        return TensorFacts(name, packing.name, shape, offset, size_bytes)


def _align(offset: int, alignment: int) -> int:
    return -(-offset // alignment) * alignment


def _scalar_code(kind: int) -> str:
    code = SCALARS.get(kind)
    if code is None:
        raise GgufError(f"holds a value of unknown kind {kind}; it is damaged")
    return code
