"""Server-sent events, read permissively and within bounds.

Owns the way from bytes to the text of `data:` fields; knows no JSON and no provider. Invariant:
however the bytes are cut, the same texts come out, and no more than one bounded event is held.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator

MAX_EVENT_BYTES = 2**20
PIECE_BYTES = 2**16
GZIP_OR_ZLIB = 32 + zlib.MAX_WBITS
BOM = b"\xef\xbb\xbf"
DONE = "[DONE]"


class OversizeError(ValueError):
    """One event is larger than any honest one."""


class Inflater:
    """Unpacks a compressed body in bounded pieces, for hosts that compress unasked."""

    def __init__(self) -> None:
        self._stream = zlib.decompressobj(GZIP_OR_ZLIB)

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The bytes behind these; raises `zlib.error`."""
        while data:
            yield self._stream.decompress(data, PIECE_BYTES)
            data = self._stream.unconsumed_tail


class SseReader:
    """Feed it bytes; it yields the text of each event, comments and other fields left out."""

    def __init__(self, max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        self._max_bytes = max_event_bytes
        self._rest = b""
        self._data: list[str] = []
        self._num_held = 0

    def feed(self, data: bytes) -> Iterator[str]:
        """Take more bytes; raises `OversizeError`."""
        lines = (self._rest + data).split(b"\n") if self._rest else data.split(b"\n")
        self._rest = lines.pop()
        for line in lines:
            yield from self._take(line)
        if self._num_held + len(self._rest) > self._max_bytes:
            raise OversizeError

    def finish(self) -> Iterator[str]:
        """The stream has ended; whatever is complete but not yet closed by a blank line."""
        rest, self._rest = self._rest, b""
        yield from self._take(rest)
        yield from self._take(b"")

    def _take(self, line: bytes) -> Iterator[str]:
        line = line.rstrip(b"\r").removeprefix(BOM)
        if not line:
            if self._data:
                yield "\n".join(self._data)
                self._data.clear()
                self._num_held = 0
        elif line.startswith(b"data:"):
            self._num_held += len(line)
            if self._num_held > self._max_bytes:
                raise OversizeError
            self._data.append(line[5:].removeprefix(b" ").decode("utf-8", errors="replace"))
