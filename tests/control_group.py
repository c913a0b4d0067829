"""A control group with a limit on memory, of either version: what the kernel does is its own.

Owns asking the system for one and giving it back; skips the test where none is lent. Nobody stays
in it who was not put there.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

VERSION_1, VERSION_2 = Path("/sys/fs/cgroup/memory"), Path("/sys/fs/cgroup")
UNLIMITED_BYTES = 64 * 2**30


@dataclass(frozen=True)
class Group:
    """A control group of one test alone."""

    folder: Path
    is_version_1: bool

    @property
    def members(self) -> Path:
        """Where a process writes its id to belong to the group, as its children will."""
        return self.folder / "cgroup.procs"

    def limit(self, size_bytes: int) -> None:
        """So much memory for all its processes, and no swap."""
        name = "memory.limit_in_bytes" if self.is_version_1 else "memory.max"
        (self.folder / name).write_text(str(size_bytes))
        swap = ("memory.memsw.limit_in_bytes", size_bytes)
        name, size_bytes = swap if self.is_version_1 else ("memory.swap.max", 0)
        with contextlib.suppress(OSError):  # where the kernel counts no swap
            (self.folder / name).write_text(str(size_bytes))

    @contextlib.contextmanager
    def holding(self) -> Iterator[None]:
        """Processes that are started inside belong to the group; this one does not stay."""
        self.members.write_text(str(os.getpid()))
        try:
            yield
        finally:
            (self.folder.parent / "cgroup.procs").write_text(str(os.getpid()))

    def num_kills(self) -> int:
        """How many of its processes the kernel has killed for memory."""
        name = "memory.oom_control" if self.is_version_1 else "memory.events"
        lines = (self.folder / name).read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("oom_kill "))


@contextlib.contextmanager
def memory_group() -> Iterator[Group]:
    """A new group that this process may limit; skips the test where the system allows none."""
    is_version_1 = (VERSION_1 / "memory.limit_in_bytes").exists()
    home = VERSION_1 if is_version_1 else VERSION_2
    folder = home / f"runner-test-{os.getpid()}"
    try:
        folder.mkdir()
        group = Group(folder, is_version_1)
        group.limit(UNLIMITED_BYTES)
        group.num_kills()
    except (OSError, StopIteration) as error:
        if folder.is_dir():
            folder.rmdir()
        pytest.skip(f"no memory control group can be made here: {error}")
    try:
        yield group
    finally:
        folder.rmdir()
