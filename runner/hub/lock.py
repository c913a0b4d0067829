"""One transfer per file: the same lock huggingface_hub takes, with the holder's name beside it.

Owns waiting for another process; knows nothing of what is transferred. Invariant: the kernel
frees the lock when its holder dies, and a holder that is stopped is named instead of waited for.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import filelock
import psutil

from runner.errors import DownloadError

POLL_S = 0.1
STOPPED_PATIENCE_S = 5.0


@dataclass(frozen=True, slots=True)
class Holder:
    """The process that has the lock, 0 where it did not say."""

    pid: int
    is_stopped: bool


class TransferLock(contextlib.AbstractContextManager["TransferLock"]):
    """The right to fetch one file; released on leaving the `with` block."""

    def __init__(self, path: Path, what: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = filelock.FileLock(path, thread_local=False)
        self._name = path.with_suffix(".holder")
        self._what = what

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._lock.is_locked:
            self._name.unlink(missing_ok=True)
            self._lock.release()

    def wait(self, sleep: Callable[[float], object]) -> Iterator[Holder]:
        """Take the lock, yielding whoever has it at each look until then.

        Raises:
            DownloadError: the holder is stopped and does not go on.
        """
        stopped_s = 0.0
        while not self._is_taken():
            holder = self._holder()
            stopped_s = stopped_s + POLL_S if holder.is_stopped else 0.0
            if stopped_s > STOPPED_PATIENCE_S:
                raise DownloadError(
                    f"process {holder.pid} holds the download of {self._what} and is stopped; "
                    f"let it go on (kill -CONT {holder.pid}) or end it (kill -KILL {holder.pid})"
                )
            yield holder
            sleep(POLL_S)

    def _is_taken(self) -> bool:
        try:
            self._lock.acquire(blocking=False)
        except filelock.Timeout:
            return False
        self._name.write_text(str(os.getpid()), encoding="ascii")
        return True

    def _holder(self) -> Holder:
        with contextlib.suppress(OSError, ValueError, psutil.Error):
            pid = int(self._name.read_text(encoding="ascii"))
            return Holder(pid, psutil.Process(pid).status() == psutil.STATUS_STOPPED)
        return Holder(0, is_stopped=False)
