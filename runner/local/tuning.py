"""What was found out about this machine by trying: how many threads decode a model fastest.

Owns one small file. Lost or unreadable, it is written anew. Invariant: what was measured beside
other work counts until the model is loaded on an idle machine.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from runner.hardware import Hardware

FILE = "tuning.json"
WORTH_TRYING_BYTES = 64 * 2**20  # smaller models run with one thread


@dataclass(frozen=True, slots=True)
class Tuning:
    """The threads that were fastest, one stream's speed with them, and whether to doubt it."""

    num_threads: int
    tokens_per_s: float
    was_busy: bool


def thread_choices(hardware: Hardware) -> list[int]:
    """Numbers of threads worth trying, the likeliest first; none where there is no choice."""
    physical, logical = hardware.physical_cores, hardware.logical_cores
    likely = (physical, logical, max(1, physical - 1), max(1, physical // 2))
    choices = list(dict.fromkeys(count for count in likely if 0 < count <= max(physical, logical)))
    return choices if len(choices) > 1 else []


class Tunings:
    """What is known, by weights and machine."""

    def __init__(
        self, state_dir: Path, load: Callable[[], float] = lambda: os.getloadavg()[0]
    ) -> None:
        self._path = state_dir / FILE
        self._load = load

    def find(self, weights: tuple[str, ...], hardware: Hardware) -> Tuning | None:
        """What is known of these weights here; None where it has to be tried, now or again."""
        kept = self._read().get(_key(weights, hardware))
        try:
            found = Tuning(**kept) if isinstance(kept, dict) else None
        except TypeError:
            return None
        if found is not None and found.was_busy and not self._is_busy(hardware):
            return None
        return found

    def keep(
        self, weights: tuple[str, ...], hardware: Hardware, num_threads: int, tokens_per_s: float
    ) -> None:
        """Remember what a trial found."""
        found = Tuning(num_threads, tokens_per_s, self._is_busy(hardware))
        kept = self._read() | {_key(weights, hardware): asdict(found)}
        with contextlib.suppress(OSError):  # then it is tried again next time
            self._path.parent.mkdir(parents=True, exist_ok=True)
            part = self._path.with_name(f"{self._path.name}.{os.getpid()}")
            part.write_text(json.dumps(kept), encoding="utf-8")
            part.replace(self._path)

    def _is_busy(self, hardware: Hardware) -> bool:
        return self._load() > hardware.physical_cores / 2

    def _read(self) -> dict[str, Any]:
        try:
            kept = json.loads(self._path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return kept if isinstance(kept, dict) else {}


def _key(weights: tuple[str, ...], hardware: Hardware) -> str:
    size_bytes = sum(os.path.getsize(path) for path in weights if os.path.isfile(path))
    cores = f"{hardware.physical_cores}/{hardware.logical_cores}"
    return f"{Path(weights[0]).name} {size_bytes} {cores} {version('llama-cpp-python')}"
