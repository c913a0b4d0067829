"""Where header bytes come from: a local file, or anything else that can be read at any place.

Owns opening and closing a file; knows nothing of what the bytes mean.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Protocol

from runner.errors import GgufError


class ByteSource(Protocol):
    """Bytes that can be read at any place: a file, or ranges of a remote one."""

    @property
    def size(self) -> int:
        """How many bytes there are."""
        ...

    def read(self, offset: int, size: int) -> bytes:
        """Up to `size` bytes from `offset`; fewer only at the end."""
        ...


class FileSource(contextlib.AbstractContextManager["FileSource"]):
    """A local file as a `ByteSource`; closes it as a context manager."""

    def __init__(self, path: Path) -> None:
        try:
            self._file = path.open("rb", buffering=0)
            self.size = os.fstat(self._file.fileno()).st_size
        except OSError as error:
            raise GgufError(f"{path} cannot be read: {error.strerror or error}") from None

    def read(self, offset: int, size: int) -> bytes:
        """As `ByteSource.read`."""
        self._file.seek(offset)
        return self._file.read(size)

    def __exit__(self, *_: object) -> None:
        self._file.close()
