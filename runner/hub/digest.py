"""Hashes of files: the one that proves a file, and checksums of its pieces that find damage.

Owns summing bytes up. Invariant: the proof is over every byte in order, whatever order they
were fetched in.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable
from pathlib import Path

from .partial import SPAN_BYTES

READ_BYTES = 2**20


class Digest:
    """The running hash of a file of known size.

    `etag` says which hash proves it: 64 digits are its sha256, 40 are the sha1 of a git blob.
    `sums` are the crc32 of each `SPAN_BYTES`: no proof, but they tell where damage is.
    """

    def __init__(self, etag: str, size: int) -> None:
        self.etag = etag
        self.num_hashed = 0
        self.sums: list[int] = []
        self._sum = 0
        self._hash = hashlib.sha256() if len(etag) != 40 else hashlib.sha1(b"blob %d\0" % size)

    @property
    def is_right(self) -> bool:
        """Whether the bytes so far are exactly the promised ones."""
        return self.value == self.etag

    @property
    def value(self) -> str:
        """The hash so far, in hexadecimal digits."""
        return self._hash.hexdigest()

    def update(self, data: bytes) -> None:
        """Take the next bytes."""
        self._hash.update(data)
        view = memoryview(data)
        while view:
            piece = view[: SPAN_BYTES - self.num_hashed % SPAN_BYTES]
            self._sum = zlib.crc32(piece, self._sum)
            self.num_hashed += len(piece)
            view = view[len(piece) :]
            if self.num_hashed % SPAN_BYTES == 0:
                self.sums.append(self._sum)
                self._sum = 0

    def all_sums(self) -> list[int]:
        """The checksums, that of a last short piece among them."""
        is_short = self.num_hashed % SPAN_BYTES != 0
        return [*self.sums, self._sum] if is_short else list(self.sums)


def digest_file(
    path: Path, etag: str, on_bytes: Callable[[int], None] = lambda num_bytes: None
) -> Digest:
    """Read a whole file; `etag` says which hash is wanted. Raises `OSError`."""
    digest = Digest(etag, path.stat().st_size)
    with path.open("rb") as file:
        while data := file.read(READ_BYTES):
            digest.update(data)
            on_bytes(len(data))
    return digest
