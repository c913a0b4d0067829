"""The server under attack, and what faults and checks need to know of it.

Owns its folders, its small disk where the system lends us one, and the way to its engine. Knows
no fault and no invariant.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil

from tests.api.caller import MODEL
from tests.serving import Server, serve

SMALL_DISK = "24m"
WAIT_S = 20.0


@dataclass
class World:
    """A running server, chance, and the folder it keeps its state in."""

    server: Server
    chance: random.Random
    http: httpx.AsyncClient
    state_dir: Path
    has_small_disk: bool
    disk_troubles: list[tuple[float, float]] = field(default_factory=list)

    @property
    def address(self) -> tuple[str, int]:
        """Host and port."""
        host, port = self.server.origin.removeprefix("http://").split(":")
        return host, int(port)

    @property
    def process(self) -> psutil.Process:
        """The API process."""
        return psutil.Process(self.server.process.pid)

    async def health(self) -> dict[str, Any]:
        """What `/health` says."""
        body: dict[str, Any] = (await self.http.get("/health")).json()
        return body

    async def engine(self) -> dict[str, Any]:
        """What it says of the engine; empty while there is none."""
        engines = (await self.health())["engines"]
        return engines[0] if engines and "pid" in engines[0] else {}

    async def engine_process(self) -> psutil.Process:
        """The engine's process, as soon as there is one."""
        deadline_s = time.monotonic() + WAIT_S
        while time.monotonic() < deadline_s:
            if engine := await self.engine():
                with contextlib.suppress(psutil.NoSuchProcess):
                    return psutil.Process(engine["pid"])
            await asyncio.sleep(0.05)
        raise TimeoutError(f"no engine after {WAIT_S:.0f} s")


@contextlib.contextmanager
def small_disk(folder: Path) -> Iterator[bool]:
    """A small file system on `folder`, where the system lets us have one."""
    folder.mkdir(parents=True, exist_ok=True)
    is_ours = sys.platform == "linux" and os.geteuid() == 0
    if is_ours:
        options = ["-t", "tmpfs", "-o", f"size={SMALL_DISK}", "none", str(folder)]
        is_ours = subprocess.run(["mount", *options], capture_output=True).returncode == 0
    try:
        yield is_ours
    finally:
        if is_ours:
            subprocess.run(["umount", "-l", str(folder)], check=True, capture_output=True)


@contextlib.asynccontextmanager
async def world_in(home: Path, chance: random.Random) -> Any:
    """A world of our own; gone afterwards."""
    state_dir = home / "runner-home"
    with small_disk(state_dir) as has_small_disk, serve(home, MODEL, "--offline") as server:
        limits = httpx.Limits(max_keepalive_connections=0)
        async with httpx.AsyncClient(base_url=server.origin, timeout=60, limits=limits) as client:
            yield World(server, chance, client, state_dir, has_small_disk)
