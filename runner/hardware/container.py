"""Limits that a container sets: memory and processor time, of cgroup version 2 or 1.

Owns reading the control files under a root; knows no host figures. Invariant: a limit that cannot
be read is no limit.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

NO_LIMIT = 2**60  # version 1 writes a huge number where there is none


@dataclass(frozen=True, slots=True)
class MemoryLimit:
    """How much a group may use, and how much of that is left; page cache counts as left."""

    limit_bytes: int
    available_bytes: int


def read_memory_limit(root: Path) -> MemoryLimit | None:
    """The tightest memory limit of this process's groups, None where there is none."""
    limits = [limit for folder, names in _memory_folders(root) if (limit := _limit(folder, names))]
    if not limits:
        return None
    return MemoryLimit(
        min(limit.limit_bytes for limit in limits),
        min(limit.available_bytes for limit in limits),
    )


def read_core_limit(root: Path) -> float | None:
    """How many cores' worth of time this process may use, None where that is not limited."""
    shares = [share for folder in _folders(root, "") if (share := _quota(folder / "cpu.max"))]
    for folder in _folders(root, "cpu"):
        quota, period = _number(folder / "cpu.cfs_quota_us"), _number(folder / "cpu.cfs_period_us")
        if quota and period and quota > 0:
            shares.append(quota / period)
    return min(shares, default=None)


@dataclass(frozen=True, slots=True)
class _Names:
    limit: str
    usage: str
    cache: tuple[str, ...]


_VERSION_2 = _Names("memory.max", "memory.current", ("active_file", "inactive_file"))
_VERSION_1 = _Names(
    "memory.limit_in_bytes",
    "memory.usage_in_bytes",
    ("total_active_file", "total_inactive_file"),
)


def _memory_folders(root: Path) -> Iterator[tuple[Path, _Names]]:
    yield from ((folder, _VERSION_2) for folder in _folders(root, ""))
    yield from ((folder, _VERSION_1) for folder in _folders(root, "memory"))


def _folders(root: Path, controller: str) -> Iterator[Path]:
    """The group's folder and every one above it; `controller` is empty for version 2."""
    mount = root / "sys/fs/cgroup" / controller
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controller in controllers.split(","):
            inner = PurePosixPath(path.lstrip("/"))
            for group in (inner, *inner.parents):
                yield mount / group


def _limit(folder: Path, names: _Names) -> MemoryLimit | None:
    limit, usage = _number(folder / names.limit), _number(folder / names.usage)
    if limit is None or limit >= NO_LIMIT:
        return None
    cache = 0
    for line in _text(folder / "memory.stat").splitlines():
        key, _, value = line.partition(" ")
        if key in names.cache and value.isdigit():
            cache += int(value)
    return MemoryLimit(limit, max(0, min(limit, limit - (usage or 0) + cache)))


def _quota(path: Path) -> float | None:
    """`cpu.max` holds `QUOTA PERIOD` or `max PERIOD`."""
    quota, _, period = _text(path).strip().partition(" ")
    return int(quota) / int(period) if quota.isdigit() and period.isdigit() else None


def _number(path: Path) -> int | None:
    text = _text(path).strip()
    return int(text) if text.lstrip("-").isdigit() else None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
