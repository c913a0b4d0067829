"""What has to hold after every fault, whatever it was.

Owns invariants I1 (alive and quick), I4 (recovers alone), I5 (leaves nothing behind) and I8
(counted once). I2 (no false success) is judged answer by answer where the load is.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import time
from dataclasses import dataclass, field

import httpx

from .load import History, Load
from .world import World

MAX_HEALTH_S = 1.0
MAX_RECOVERY_S = 10.0
MAX_IDLE_S = 15.0
MAX_EXTRA_FDS = 2
MAX_EXTRA_RSS_BYTES = 20 * 2**20
EVERY_S = 0.1
LEDGER_SLACK_S = 1.0  # from an answer's end to its row


@dataclass(frozen=True)
class Footprint:
    """What the API process holds when nothing is asked of it."""

    num_fds: int
    num_children: int
    rss_bytes: int
    num_files: int


@dataclass
class Pulse:
    """How long `/health` took, asked again and again."""

    world: World
    taken_s: list[float] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)

    async def watch(self) -> None:
        """Ask until cancelled."""
        while True:
            begun_s = time.perf_counter()
            try:
                response = await self.world.http.get("/health", timeout=10)
                is_ok = response.status_code == 200
            except httpx.HTTPError:
                is_ok = False
            taken_s = time.perf_counter() - begun_s
            self.taken_s.append(taken_s)
            if not is_ok or taken_s > MAX_HEALTH_S:
                self.violations.append(f"I1 health: {'slow' if is_ok else 'no'} ({taken_s:.2f} s)")
            await asyncio.sleep(EVERY_S)

    @property
    def p99_s(self) -> float:
        """The slowest of a hundred."""
        return sorted(self.taken_s)[int(len(self.taken_s) * 0.99)] if self.taken_s else 0.0


async def recover(load: Load) -> float:
    """Seconds until an ordinary request succeeds again (I4). Raises TimeoutError."""
    begun_s = time.monotonic()
    async with asyncio.timeout(MAX_RECOVERY_S + 30):
        while not await load.ask_whole():
            await asyncio.sleep(0.1)
    return time.monotonic() - begun_s


async def wait_idle(world: World) -> float:
    """Seconds until nothing is generated or waiting. Raises TimeoutError."""
    begun_s = time.monotonic()
    async with asyncio.timeout(MAX_IDLE_S):
        while True:
            engine = await world.engine()
            if engine and engine["running"] + engine["waiting"] == 0:
                return time.monotonic() - begun_s
            await asyncio.sleep(0.05)


async def footprint(world: World) -> Footprint:
    """What is held now, once connections that are closing have closed."""
    process = world.process
    fds = [process.num_fds()]
    for _ in range(20):
        await asyncio.sleep(0.05)
        fds.append(process.num_fds())
    children = [child for child in process.children(recursive=True) if child.is_running()]
    files = [path for path in world.state_dir.rglob("*") if path.suffix in (".tmp", ".partial")]
    return Footprint(min(fds), len(children), process.memory_info().rss, len(files))


def compare(base: Footprint, now: Footprint) -> list[str]:
    """What was left behind (I5)."""
    broken = []
    if now.num_fds > base.num_fds + MAX_EXTRA_FDS:
        broken.append(f"I5 file descriptors: {base.num_fds} became {now.num_fds}")
    if now.num_children != base.num_children:
        broken.append(f"I5 children: {base.num_children} became {now.num_children}")
    if now.num_files > base.num_files:
        broken.append(f"I5 unfinished files: {base.num_files} became {now.num_files}")
    if now.rss_bytes > base.rss_bytes + MAX_EXTRA_RSS_BYTES:
        grown = (now.rss_bytes - base.rss_bytes) / 2**20
        broken.append(f"I5 memory: {grown:.0f} MiB more than in the beginning")
    return broken


async def check_counts(world: World, history: History) -> list[str]:
    """Everything that was answered is in the books once, with its tokens (I8)."""
    broken = []
    metrics = (await world.http.get("/metrics")).text
    num_open = next(
        line for line in metrics.splitlines() if line.startswith("runner_open_requests")
    )
    if float(num_open.split()[-1]) != 0:
        broken.append(f"I8 requests are counted as open while nothing runs: {num_open}")
    await world.http.get("/v1/usage")  # which waits for what is still to be written
    try:
        rows = await asyncio.to_thread(read_ledger, world)
    except sqlite3.Error as error:
        return [*broken, f"I8 the ledger cannot be read: {error}"]
    for request_id, (ended_s, num_tokens) in history.completed.items():
        found = rows.get(request_id, [])
        if len(found) > 1 or (not found and not was_disk_in_trouble(world, ended_s)):
            broken.append(f"I8 {request_id} is in the ledger {len(found)} times")
        elif found and found[0] != num_tokens:
            broken.append(f"I8 {request_id}: {found[0]} tokens in the ledger, {num_tokens} sent")
    return broken


def read_ledger(world: World) -> dict[str, list[int]]:
    """Completion tokens by request id; one entry for each row."""
    rows: dict[str, list[int]] = {}
    address = f"file:{world.state_dir / 'ledger.sqlite3'}?mode=ro"
    with contextlib.closing(sqlite3.connect(address, uri=True, timeout=10)) as connection:
        if connection.execute("PRAGMA quick_check").fetchone() != ("ok",):
            raise sqlite3.DatabaseError("the check of its pages failed")
        for request_id, num in connection.execute(
            "SELECT request_id, completion_tokens FROM answers"
        ):
            rows.setdefault(request_id, []).append(num)
    return rows


def was_disk_in_trouble(world: World, at_s: float) -> bool:
    """Whether the ledger could not be written about then."""
    return any(
        begun - LEDGER_SLACK_S <= at_s <= end + LEDGER_SLACK_S for begun, end in world.disk_troubles
    )
