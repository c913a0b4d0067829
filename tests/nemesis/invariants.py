"""What has to hold after every fault, whatever it was.

Owns invariants I1 (alive and quick), I4 (recovers alone), I5 (leaves nothing behind), I6 (tells no
secret) and I8 (counted once). I2 (no false success) is judged answer by answer where the load is.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import psutil

from .load import History, Load
from .world import KEY, World

MAX_HEALTH_S = 1.0
MAX_RECOVERY_S = 10.0
MAX_IDLE_S = 15.0
MAX_EXTRA_FDS = 2
MAX_KEPT_CONNECTIONS = 32  # to hosts that were asked, as `runner.egress` has it
MAX_EXTRA_RSS_BYTES = 20 * 2**20
MIN_TREND_S = 600.0
MAX_PEAK_RSS_BYTES = 150 * 2**20  # more than at rest, while everything is asked at once
EVERY_S = 0.1
SAMPLE_EVERY_S = 1.0
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
    """How long `/health` took, asked again and again, and what the process held meanwhile.

    Less what the server had to wait for a core, where the system tells.
    """

    world: World
    every_s: float = EVERY_S
    taken_s: list[float] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    peak_rss_bytes: int = 0
    peak_fds: int = 0
    starved_s: float = 0.0

    async def watch(self) -> None:
        """Ask until cancelled."""
        sampled_s = 0.0
        while True:
            begun_s, starved_s = time.perf_counter(), self._starved_s()
            try:
                response = await self.world.http.get("/health", timeout=10)
                is_ok = response.status_code == 200
            except httpx.HTTPError:
                is_ok = False
            starved_s = self._starved_s() - starved_s
            taken_s = time.perf_counter() - begun_s - starved_s
            self.starved_s += starved_s
            self.taken_s.append(taken_s)
            if not is_ok or taken_s > MAX_HEALTH_S:
                self.violations.append(f"I1 health: {'slow' if is_ok else 'no'} ({taken_s:.2f} s)")
            if begun_s - sampled_s > SAMPLE_EVERY_S:
                sampled_s = begun_s
                self._sample()
            await asyncio.sleep(self.every_s)

    def _starved_s(self) -> float:
        """How long the server's loop has waited for a core in all: the machine's fault, not its."""
        with contextlib.suppress(OSError, psutil.Error):
            schedule = Path(f"/proc/{self.world.server.process.pid}/schedstat").read_text()
            return int(schedule.split()[1]) / 1e9
        return 0.0

    def _sample(self) -> None:
        with contextlib.suppress(psutil.NoSuchProcess):
            process = self.world.process
            self.peak_rss_bytes = max(self.peak_rss_bytes, process.memory_info().rss)
            self.peak_fds = max(self.peak_fds, process.num_fds())

    @property
    def p99_s(self) -> float:
        """The slowest of a hundred."""
        return sorted(self.taken_s)[int(len(self.taken_s) * 0.99)] if self.taken_s else 0.0


@dataclass
class Trend:
    """What the process held at rest, again and again."""

    at_s: list[float] = field(default_factory=list)
    held: list[Footprint] = field(default_factory=list)

    def add(self, now: Footprint) -> None:
        """One more look."""
        self.at_s.append(time.monotonic())
        self.held.append(now)

    @property
    def bytes_per_hour(self) -> float:
        """The slope of its memory, by least squares; 0 while there is too little to see."""
        count = len(self.held)
        if count < 3 or self.at_s[-1] - self.at_s[0] < MIN_TREND_S:
            return 0.0
        mean_s = sum(self.at_s) / count
        mean = sum(one.rss_bytes for one in self.held) / count
        pairs = list(zip(self.at_s, self.held, strict=True))
        spread = sum((at_s - mean_s) ** 2 for at_s, _ in pairs)
        return 3600 * sum((at_s - mean_s) * (one.rss_bytes - mean) for at_s, one in pairs) / spread

    def words(self) -> str:
        """For people."""
        if not self.held:
            return "never at rest"
        fds = [one.num_fds for one in self.held]
        rss = [one.rss_bytes / 2**20 for one in self.held]
        return (
            f"at rest {min(rss):.0f} to {max(rss):.0f} MiB ({self.bytes_per_hour / 2**20:+.1f} MiB "
            f"an hour), {min(fds)} to {max(fds)} descriptors"
        )


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
    fds = [count_descriptors(world)]
    for _ in range(20):
        await asyncio.sleep(0.05)
        fds.append(count_descriptors(world))
    children = [child for child in process.children(recursive=True) if child.is_running()]
    files = [path for path in world.state_dir.rglob("*") if path.suffix in (".tmp", ".partial")]
    return Footprint(min(fds), len(children), process.memory_info().rss, len(files))


def count_descriptors(world: World) -> int:
    """Those of the API process, less the connections it keeps to the upstream host."""
    num_open, port = world.process.num_fds(), urlsplit(world.upstream.base_url).port
    kept = [
        one
        for one in world.process.net_connections("tcp")
        if one.raddr and one.raddr.port == port and one.status == psutil.CONN_ESTABLISHED
    ]
    return num_open - min(len(kept), MAX_KEPT_CONNECTIONS)


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
        rows, history.last_row = await asyncio.to_thread(read_ledger, world, history.last_row)
    except sqlite3.Error as error:
        return [*broken, f"I8 the ledger cannot be read: {error}"]
    for request_id, (ended_s, num_tokens) in history.completed.items():
        found = rows.get(request_id, [])
        if len(found) > 1 or (not found and not was_disk_in_trouble(world, ended_s)):
            broken.append(f"I8 {request_id} is in the ledger {len(found)} times")
        elif found and found[0] != num_tokens:
            broken.append(f"I8 {request_id}: {found[0]} tokens in the ledger, {num_tokens} sent")
    history.completed.clear()
    return broken


def read_ledger(world: World, last_row: int) -> tuple[dict[str, list[int]], int]:
    """Completion tokens by request id, an entry for each row after `last_row`; the new last row."""
    rows: dict[str, list[int]] = {}
    with opened_ledger(world) as connection:
        if connection.execute("PRAGMA quick_check").fetchone() != ("ok",):
            raise sqlite3.DatabaseError("the check of its pages failed")
        for number, request_id, num in connection.execute(
            "SELECT id, request_id, completion_tokens FROM answers WHERE id > ?", (last_row,)
        ):
            rows.setdefault(request_id, []).append(num)
            last_row = max(last_row, number)
    return rows, last_row


@contextlib.contextmanager
def opened_ledger(world: World) -> Iterator[sqlite3.Connection]:
    """The server's ledger, to be read only."""
    address = f"file:{world.state_dir / 'ledger.sqlite3'}?mode=ro"
    with contextlib.closing(sqlite3.connect(address, uri=True, timeout=10)) as connection:
        yield connection


def check_whole_ledger(world: World) -> list[str]:
    """In the end: no request was written down twice, and shares add up to what was spent (I8)."""
    with opened_ledger(world) as connection:
        twice = connection.execute(
            "SELECT request_id, count(*) FROM answers WHERE request_id LIKE 'nemesis-%' "
            "GROUP BY request_id HAVING count(*) > 1"
        ).fetchall()
        [[spent]] = connection.execute("SELECT coalesce(sum(held_nusd), 0) FROM spend")
        [[held]] = connection.execute("SELECT coalesce(sum(held_nusd), 0) FROM holds")
    broken = [f"I8 {request_id} is in the ledger {num} times" for request_id, num in twice]
    if spent != held:
        broken.append(f"I8 {spent} nano-dollars counted against the caps, {held} held")
    return broken


def check_secrets(world: World) -> list[str]:
    """Nothing that the server wrote holds a key, and it never lost its countenance (I6)."""
    broken = []
    log = world.server.home / "server.log"
    for path in (log, *world.state_dir.glob("ledger.sqlite3*")):
        if path.is_file() and KEY.encode() in path.read_bytes():
            broken.append(f"I6 a key is in {path.name}")
    if "Traceback" in (text := log.read_text(errors="replace")):
        broken.append(f"I1 a traceback is in the log: {text[text.index('Traceback') :][-600:]}")
    return broken


def was_disk_in_trouble(world: World, at_s: float) -> bool:
    """Whether the ledger could not be written about then."""
    return any(
        begun - LEDGER_SLACK_S <= at_s <= end + LEDGER_SLACK_S for begun, end in world.disk_troubles
    )
