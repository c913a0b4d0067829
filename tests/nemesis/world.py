"""The server under attack, and what faults and checks need to know of it.

Owns its folders, its small disk and its movable clock where the system lends us them, the host it
may ask, and the way to its engine. Knows no fault and no invariant.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil

from tests.api.caller import MODEL
from tests.fakes.openrouter import FakeOpenRouter
from tests.faults.clock import MovableClock, movable_clock
from tests.serving import Server, serve

DISK_MIB = 64
DISK_MIB_PER_MINUTE = 2  # what the ledger of that much load takes, and more
PREFIX_BYTES = 8 * 2**20
WAIT_S = 20.0
KEY = "sk-or-canary-4be5a1e5"
NUSD_ENOUGH = 10**15
SETTINGS = {
    "OPENROUTER_API_KEY": KEY,
    "RUNNER_ENGINE__MEMORY_BUDGET": str(4 * 2**30),  # so that the large model is asked elsewhere
    "RUNNER_ENGINE__PREFIX_DISK_BYTES": str(PREFIX_BYTES),
    "RUNNER_HOSTED__FIRST_TOKEN_TIMEOUT_S": "2",
    "RUNNER_HOSTED__IDLE_TIMEOUT_S": "2",
    "RUNNER_HOSTED__TOTAL_TIMEOUT_S": "20",
}


@dataclass
class World:
    """A running server, chance, and the folder it keeps its state in."""

    server: Server
    chance: random.Random
    http: httpx.AsyncClient
    state_dir: Path
    upstream: FakeOpenRouter
    has_small_disk: bool = False
    clock: MovableClock | None = None
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
def small_disk(folder: Path, num_mib: int) -> Iterator[bool]:
    """A small file system on `folder`, where the system lets us have one."""
    folder.mkdir(parents=True, exist_ok=True)
    is_ours = sys.platform == "linux" and os.geteuid() == 0
    if is_ours:
        options = ["-t", "tmpfs", "-o", f"size={num_mib}m", "none", str(folder)]
        is_ours = subprocess.run(["mount", *options], capture_output=True).returncode == 0
    try:
        yield is_ours
    finally:
        if is_ours:
            subprocess.run(["umount", "-l", str(folder)], check=True, capture_output=True)


@contextlib.asynccontextmanager
async def world_in(home: Path, chance: random.Random, duration_s: float) -> AsyncIterator[World]:
    """A world of our own; gone afterwards."""
    state_dir = home / "runner-home"
    num_mib = DISK_MIB + int(DISK_MIB_PER_MINUTE * duration_s / 60)
    clock = movable_clock(home)
    moved = clock.environment if clock else {}
    upstream = FakeOpenRouter(key=KEY, credit_nusd=NUSD_ENOUGH)
    async with contextlib.AsyncExitStack() as stack:
        has_small_disk = stack.enter_context(small_disk(state_dir, num_mib))
        await stack.enter_async_context(upstream.serve())
        environment = {**SETTINGS, **moved, "OPENROUTER_BASE_URL": upstream.base_url}
        server = stack.enter_context(serve(home, MODEL, **environment))
        limits = httpx.Limits(max_keepalive_connections=0)
        http = await stack.enter_async_context(
            httpx.AsyncClient(base_url=server.origin, timeout=60, limits=limits, trust_env=False)
        )
        yield World(server, chance, http, state_dir, upstream, has_small_disk, clock)
