"""Taking turns on the cores: one step at a time among the engines of one machine.

Owns a lock file. Two llama.cpp processes that compute at once wait for each other's threads by
spinning, and both collapse; in turns nothing is lost, since the other computes while this one
samples. The kernel gives the lock back when a process dies.
"""

from __future__ import annotations

import os
from types import TracebackType
from typing import Self

try:
    import fcntl
except ImportError:  # no such lock on this system: engines run side by side
    fcntl = None  # type: ignore[assignment]  # the module is the only type it has


class Turn:
    """A context manager around one step; does nothing without a file."""

    def __init__(self, path: str) -> None:
        self._file: int | None = None
        if path and fcntl is not None:
            try:
                os.makedirs(os.path.dirname(path), exist_ok=True)
                self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            except OSError:
                self._file = None

    def __enter__(self) -> Self:
        if self._file is not None:
            fcntl.flock(self._file, fcntl.LOCK_EX)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._file is not None:
            fcntl.flock(self._file, fcntl.LOCK_UN)
