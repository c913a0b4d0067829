"""What the commands about weights share: the library they act on, and how progress is shown.

Owns the way from settings and environment to a library, and the terminal's side of a pull; no
policy. Nothing heavy is imported before it is needed.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from runner.config import Settings
    from runner.hub import Library, Pulled, Puller, PullEvent, Repositories

RESERVE_BYTES = 2**30
LINE_EVERY_S = 5.0


def load_settings(offline: bool | None = None) -> Settings:
    """The settings, with the flag over them."""
    from runner.config import load

    return load({"offline": offline}).settings


def open_library(settings: Settings) -> Library:
    """The weights on this disk."""
    from runner import catalog
    from runner.hub import Library, hub_cache_dir

    known = catalog.load((settings.state_dir / "models.toml",))
    return Library(settings.state_dir, hub_cache_dir(os.environ), known)


def open_repositories(settings: Settings) -> Repositories:
    """The Hub, where `HF_ENDPOINT` says it is."""
    from runner.egress import Egress
    from runner.hub import Repositories

    endpoint = os.environ.get("HF_ENDPOINT") or "https://huggingface.co"
    token = os.environ.get("HF_TOKEN") or None
    return Repositories(Egress(offline=settings.offline), endpoint=endpoint, token=token)


def open_puller(settings: Settings) -> Puller:
    """Fetches into this machine's library."""
    from runner.hub import Puller

    return Puller(open_library(settings), open_repositories(settings))


def fits_here(size_bytes: int) -> bool:
    """Whether weights of that size leave room in this machine's memory to work in."""
    import psutil

    return size_bytes + RESERVE_BYTES < int(psutil.virtual_memory().total)


def size_text(size_bytes: int) -> str:
    """A size for people."""
    if size_bytes < 10**6:
        return f"{size_bytes / 1e3:.0f} kB"
    return f"{size_bytes / 1e9:.2f} GB" if size_bytes >= 10**9 else f"{size_bytes / 1e6:.1f} MB"


def follow(events: Iterable[PullEvent], *, as_json: bool) -> Pulled | None:
    """Show a pull as it goes: JSON lines, bars on a terminal, else plain lines."""
    if as_json:
        show: Callable[[PullEvent], None] = _JsonLines().show
    elif sys.stderr.isatty():
        return _follow_with_bars(events)
    else:
        show = _PlainLines().show
    return _show_all(events, show)


def _show_all(events: Iterable[PullEvent], show: Callable[[PullEvent], None]) -> Pulled | None:
    from runner.hub import Pulled

    last = None
    for event in events:
        show(event)
        last = event if isinstance(event, Pulled) else last
    return last


class _JsonLines:
    """One JSON object per event, progress at most once a second."""

    def __init__(self) -> None:
        self._last_s = 0.0

    def show(self, event: PullEvent) -> None:
        """Print the event."""
        from runner.hub import Progress, Waiting, describe

        if isinstance(event, Progress | Waiting):
            if time.monotonic() - self._last_s < 1:
                return
            self._last_s = time.monotonic()
        typer.echo(json.dumps(describe(event)))


class _PlainLines:
    """A line per file, and one now and then while it comes."""

    def __init__(self) -> None:
        self._last_s = time.monotonic()

    def show(self, event: PullEvent) -> None:
        """Print what is worth a line."""
        from runner.hub import InPlace, Progress, Resolved, Waiting

        match event:
            case Resolved():
                typer.echo(resolved_text(event), err=True)
            case InPlace():
                typer.echo(f"{event.name}: complete, hash verified", err=True)
            case Progress() | Waiting() if time.monotonic() - self._last_s >= LINE_EVERY_S:
                self._last_s = time.monotonic()
                typer.echo(_progress_text(event), err=True)


def resolved_text(event: Any) -> str:
    """What is about to be fetched, and why."""
    missing = event.size_bytes - event.missing_bytes
    kept = f", {size_text(missing)} of it here already" if missing else ""
    return (
        f"{event.model_id} {event.quantization} from {event.repo}: "
        f"{size_text(event.size_bytes)} in {len(event.names)} files{kept} ({event.reason})"
    )


def _progress_text(event: Any) -> str:
    from runner.hub import Waiting

    if isinstance(event, Waiting):
        return f"{event.name}: waiting for process {event.pid}, which is fetching it"
    rate = f", {event.bytes_per_s / 1e6:.1f} MB/s" if event.bytes_per_s else ""
    left = f", {event.left_s:.0f} s left" if event.left_s is not None else ""
    done = f"{size_text(event.total_bytes)} of {size_text(event.total_size_bytes)}"
    return f"{event.name}: {done}{rate}{left}"


def _follow_with_bars(events: Iterable[PullEvent]) -> Pulled | None:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )
    from rich.progress import Progress as Bars

    from runner.hub import Progress, Resolved, Waiting

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Bars(*columns, console=Console(stderr=True)) as bars:
        tasks: dict[str, Any] = {}

        def show(event: PullEvent) -> None:
            match event:
                case Resolved():
                    bars.console.print(resolved_text(event), highlight=False, markup=False)
                case Progress():
                    if event.name not in tasks:
                        tasks[event.name] = bars.add_task(event.name, total=event.file_size_bytes)
                    bars.update(tasks[event.name], completed=event.file_bytes)
                    _update_total(bars, tasks, event)
                case Waiting() if event.name not in tasks:
                    tasks[event.name] = bars.add_task(f"waiting for {event.name}", total=None)

        return _show_all(events, show)


def _update_total(bars: Any, tasks: dict[str, Any], event: Any) -> None:
    """A bar for all files together, once there is more than one."""
    if event.total_size_bytes == event.file_size_bytes:
        return
    if "" not in tasks:
        tasks[""] = bars.add_task("all files", total=event.total_size_bytes)
    bars.update(tasks[""], completed=event.total_bytes)
