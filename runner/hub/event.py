"""What a pull tells of itself as it goes: typed events, the same as JSON, the same in words.

Owns shapes and wording; does nothing. Invariant: the last event of a pull that succeeded is
`Pulled`, and none but that one says that weights are installed.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from runner.types import JsonObject

from .library import Installed


@dataclass(frozen=True, slots=True)
class Resolved:
    """What will be fetched, why this, and how much of it is missing."""

    model_id: str
    repo: str
    revision: str
    quantization: str
    reason: str
    names: tuple[str, ...]
    size_bytes: int
    missing_bytes: int


@dataclass(frozen=True, slots=True)
class Waiting:
    """Another process (0: it did not say which) is fetching this file."""

    name: str
    pid: int


@dataclass(frozen=True, slots=True)
class Progress:
    """How far one file and all of them are; speed and time left are None until they are known."""

    name: str
    file_bytes: int
    file_size_bytes: int
    total_bytes: int
    total_size_bytes: int
    bytes_per_s: float | None
    left_s: float | None


@dataclass(frozen=True, slots=True)
class InPlace:
    """One file is complete, proved and under its final name."""

    name: str
    etag: str


@dataclass(frozen=True, slots=True)
class Pulled:
    """All of it is installed; `num_fetched_bytes` came over the wire for it."""

    installed: Installed
    num_fetched_bytes: int


PullEvent = Resolved | Waiting | Progress | InPlace | Pulled


def describe(event: PullEvent) -> JsonObject:
    """The event as JSON, its kind under `event`."""
    if isinstance(event, Pulled):
        body: JsonObject = {
            "model_id": event.installed.model_id,
            "quantization": event.installed.quantization,
            "paths": [str(path) for path in event.installed.paths],
            "size_bytes": event.installed.size_bytes,
            "verified": event.installed.verified,
            "num_fetched_bytes": event.num_fetched_bytes,
        }
    else:
        body = dataclasses.asdict(event)
    return {"event": type(event).__name__.lower(), **body}


def size_text(size_bytes: int) -> str:
    """A size for people."""
    if size_bytes < 10**6:
        return f"{size_bytes / 1e3:.0f} kB"
    return f"{size_bytes / 1e9:.2f} GB" if size_bytes >= 10**9 else f"{size_bytes / 1e6:.1f} MB"


def in_words(event: PullEvent) -> str:
    """One line about the event, for people."""
    match event:
        case Resolved():
            return _resolved_words(event)
        case Waiting(name=name, pid=pid):
            return f"{name}: waiting for process {pid}, which is fetching it"
        case Progress():
            return _progress_words(event)
        case InPlace(name=name):
            return f"{name}: complete, hash verified"
        case Pulled(installed=one, num_fetched_bytes=num_fetched):
            what = "is ready" if num_fetched else "is here already"
            return f"{one.model_id} {one.quantization} {what} ({size_text(one.size_bytes)})"


def _resolved_words(event: Resolved) -> str:
    """What is about to be fetched, and why."""
    there = event.size_bytes - event.missing_bytes
    kept = f", {size_text(there)} of it here already" if there else ""
    files = "1 file" if len(event.names) == 1 else f"{len(event.names)} files"
    return (
        f"{event.model_id} {event.quantization} from {event.repo}: "
        f"{size_text(event.size_bytes)} in {files}{kept} ({event.reason})"
    )


def _progress_words(event: Progress) -> str:
    rate = f", {size_text(round(event.bytes_per_s))}/s" if event.bytes_per_s else ""
    left = f", {event.left_s:.0f} s left" if event.left_s is not None else ""
    done = f"{size_text(event.total_bytes)} of {size_text(event.total_size_bytes)}"
    return f"{event.name}: {done}{rate}{left}"
