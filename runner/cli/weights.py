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
    from runner.hub import Library, Pulled, Puller, PullEvent
    from runner.local.planning import Planner

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


def open_puller(settings: Settings, library: Library) -> Puller:
    """Fetches into this machine's library, from where `HF_ENDPOINT` says the Hub is."""
    from runner.egress import Egress
    from runner.hub import Puller, Repositories

    return Puller(library, Repositories.of(Egress(offline=settings.offline), os.environ))


def open_planner(settings: Settings, library: Library) -> Planner:
    """Plans for this machine, by the very rules that weights are loaded by later."""
    from runner.local.planning import Planner
    from runner.local.shelf import Shelf

    shelf = Shelf(library, time.monotonic)
    return Planner(shelf, settings.state_dir, settings.engine_for, time.monotonic)


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
        from runner.hub import Progress, Pulled, Waiting, in_words

        if isinstance(event, Progress | Waiting):
            if time.monotonic() - self._last_s < LINE_EVERY_S:
                return
            self._last_s = time.monotonic()
        if not isinstance(event, Pulled):
            typer.echo(in_words(event), err=True)


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

    from runner.hub import Progress, Resolved, Waiting, in_words

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
                    bars.console.print(in_words(event), highlight=False, markup=False)
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
