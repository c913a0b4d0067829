"""What a server really spent on a request: processor time, and time without what it waited for.

Owns reading it from the system, where that tells (Linux); elsewhere nothing was waited for. A
machine that others use too makes answers late; it does not make them dear.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil


@dataclass(frozen=True)
class Effort:
    """Since their start: what processes computed, and how long their threads had no core."""

    computed_s: float
    starved_s: tuple[dict[str, float], ...]

    @classmethod
    def of(cls, pids: Sequence[int]) -> Effort:
        """What it is by now."""
        computed_s = 0.0
        for pid in pids:
            with contextlib.suppress(psutil.Error):
                times = psutil.Process(pid).cpu_times()
                computed_s += times.user + times.system
        return cls(computed_s, tuple(_waits(pid) for pid in pids))

    def computed_since(self, before: Effort) -> float:
        """Seconds of processor time."""
        return self.computed_s - before.computed_s

    def starved_since(self, before: Effort) -> float:
        """Seconds for which, in one process after the other, a thread waited for a core."""
        return sum(
            max((wait - earlier.get(task, 0.0) for task, wait in now.items()), default=0.0)
            for now, earlier in zip(self.starved_s, before.starved_s, strict=True)
        )


def _waits(pid: int) -> dict[str, float]:
    """By thread."""
    waits = {}
    for task in Path(f"/proc/{pid}/task").glob("*"):
        with contextlib.suppress(OSError, IndexError):
            waits[task.name] = int((task / "schedstat").read_text().split()[1]) / 1e9
    return waits
