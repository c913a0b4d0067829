"""A file on its way: its bytes so far and a journal of which of them are there.

Owns two files, `<etag>.partial` and `<etag>.progress`; knows no network. Invariant: a byte is
written before the journal says so, hence a killed process loses at most what it had not yet
written, and every writer goes on exactly where the journal ends.
"""

from __future__ import annotations

import os
import struct
from array import array
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

SPAN_BYTES = 8 * 2**20
RUN_BYTES = 8 * SPAN_BYTES
MAGIC = b"hrpart01"

Write = Callable[[int, bytes | memoryview, int], int]


@dataclass(frozen=True, slots=True)
class Run:
    """Bytes that are missing, from `start` to before `end`, to be fetched in one go."""

    start: int
    end: int


class Partial:
    """One unfinished file of known size, open for writing at many places."""

    def __init__(self, target: Path, size: int, *, write: Write = os.pwrite) -> None:
        self.target = target
        self.size = size
        self.generation = 0
        self._write = write
        self.path = target.with_name(target.name + ".partial")
        self._journal_path = target.with_name(target.name + ".progress")
        target.parent.mkdir(parents=True, exist_ok=True)
        self._marks = array("I", bytes(4 * -(-size // SPAN_BYTES)))
        self._data = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644)
        self._journal = os.open(self._journal_path, os.O_RDWR | os.O_CREAT, 0o644)
        self._load()

    @property
    def num_done(self) -> int:
        """How many bytes are there."""
        return sum(self._marks)

    @property
    def is_complete(self) -> bool:
        """Whether every byte is there."""
        return self.num_done == self.size

    def contiguous(self, start: int = 0) -> int:
        """Up to which byte everything from `start` on is there without a gap."""
        for span in range(start // SPAN_BYTES, len(self._marks)):
            if self._marks[span] < self._span_size(span):
                return max(start, span * SPAN_BYTES + self._marks[span])
        return self.size

    def missing(self) -> list[Run]:
        """What is missing, in order, in runs of at most `RUN_BYTES`."""
        runs: list[Run] = []
        for span, mark in enumerate(self._marks):
            start, end = span * SPAN_BYTES + mark, span * SPAN_BYTES + self._span_size(span)
            if start == end:
                continue
            if runs and runs[-1].end == start and end - runs[-1].start <= RUN_BYTES:
                runs[-1] = Run(runs[-1].start, end)
            else:
                runs.append(Run(start, end))
        return runs

    def next_missing(self, run: Run) -> int:
        """Where in the run writing goes on; its end if nothing is missing."""
        at = run.start
        while at < run.end:
            span = at // SPAN_BYTES
            there = span * SPAN_BYTES + self._marks[span]
            if there < min(run.end, span * SPAN_BYTES + self._span_size(span)):
                return max(there, run.start)
            at = (span + 1) * SPAN_BYTES
        return run.end

    def write(self, offset: int, data: bytes | memoryview) -> None:
        """Store bytes where writing of their span goes on, then note them down."""
        view = memoryview(data)
        while view:
            span = offset // SPAN_BYTES
            if offset != span * SPAN_BYTES + self._marks[span]:
                raise ValueError(f"byte {offset} is not the next of its span")
            room = self._span_size(span) - self._marks[span]
            written = self._write(self._data, view[:room], offset)
            self._mark(span, self._marks[span] + written)
            offset, view = offset + written, view[written:]

    def read(self, offset: int, size: int) -> bytes:
        """Bytes as they are on disk."""
        return os.pread(self._data, size, offset)

    def reset(self) -> None:
        """Take nothing for done any more; whoever read bytes before must read them again."""
        self.generation += 1
        for span in range(len(self._marks)):
            self._mark(span, 0)

    def flush(self) -> None:
        """Start bringing to disk what is there, so that finishing is quick."""
        getattr(os, "fdatasync", os.fsync)(self._data)

    def finish(self) -> None:
        """Give the complete file its final name, safe against a power cut."""
        os.fsync(self._data)
        os.fchmod(self._data, 0o644)
        self.close()
        self.path.replace(self.target)
        self._journal_path.unlink(missing_ok=True)
        folder = os.open(self.target.parent, os.O_RDONLY)
        os.fsync(folder)
        os.close(folder)

    def discard(self) -> None:
        """Delete what was fetched."""
        self.close()
        self.path.unlink(missing_ok=True)
        self._journal_path.unlink(missing_ok=True)

    def close(self) -> None:
        """Let go of the files and keep them; closing again does nothing."""
        for descriptor in (self._data, self._journal):
            if descriptor >= 0:
                os.close(descriptor)
        self._data = self._journal = -1

    def _load(self) -> None:
        """Believe the journal only if it is of this size and the data file can hold its claim."""
        header = MAGIC + struct.pack("<QQ", self.size, SPAN_BYTES)
        length = len(header) + 4 * len(self._marks)
        text = os.pread(self._journal, length, 0)
        has_data = os.fstat(self._data).st_size == self.size
        if len(text) == length and text.startswith(header) and has_data:
            marks = array("I", text[len(header) :])
            if all(mark <= self._span_size(span) for span, mark in enumerate(marks)):
                self._marks = marks
                return
        os.ftruncate(self._data, self.size)
        os.ftruncate(self._journal, 0)
        os.pwrite(self._journal, header + self._marks.tobytes(), 0)

    def _mark(self, span: int, mark: int) -> None:
        self._marks[span] = mark
        place = len(MAGIC) + 16 + 4 * span
        os.pwrite(self._journal, struct.pack("=I", mark), place)

    def _span_size(self, span: int) -> int:
        return min(SPAN_BYTES, self.size - span * SPAN_BYTES)


def remove_leftovers(target: Path) -> int:
    """Delete what an unfinished transfer of that file left; how many bytes that freed."""
    freed = 0
    for suffix in (".partial", ".progress"):
        path = target.with_name(target.name + suffix)
        if path.is_file():
            freed += path.stat().st_blocks * 512
            path.unlink()
    return freed
