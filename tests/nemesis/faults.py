"""The faults: each strikes once, ends by itself, and says in a few words what it did.

Owns what is done to the server from outside. Checks nothing. What needs a small disk,
a clock that can be moved, or Linux, says so.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass

import httpx
import psutil

from tests.api.caller import chat_body
from tests.edges.wire import GET, request
from tests.fakes.openrouter import FAULTS as UPSTREAM_FAULTS
from tests.fakes.openrouter import Scenario

from .world import World

CHAT = "/v1/chat/completions"
HOLD_S = 2.0
PIECE = bytes(64 * 1024)
OWN_MISTAKES = {"F01-401", "F01-403", "F02-402-nothing"}  # after which the host is left alone


@dataclass(frozen=True)
class Fault:
    """One way to hurt: its name, its deed, and what it needs."""

    name: str
    strike: Callable[[World], Awaitable[str]]
    needs_small_disk: bool = False
    needs_linux: bool = False
    needs_clock: bool = False

    def can_strike(self, world: World) -> bool:
        """Whether it can be done here."""
        if self.needs_linux and sys.platform != "linux":
            return False
        if self.needs_clock and world.clock is None:
            return False
        return world.has_small_disk or not self.needs_small_disk


# -- the engine ---------------------------------------------------------------------------------


def signalled(signum: int) -> Callable[[World], Awaitable[str]]:
    """The engine gets a signal at some moment of its work."""

    async def strike(world: World) -> str:
        await asyncio.sleep(world.chance.uniform(0, 0.5))
        engine = await world.engine_process()
        with contextlib.suppress(psutil.NoSuchProcess):
            engine.send_signal(signum)
        return f"{signal.Signals(signum).name} to {engine.pid}"

    return strike


async def starve_engine(world: World) -> str:
    """The engine may not allocate any more."""
    engine = await world.engine_process()
    with contextlib.suppress(psutil.NoSuchProcess):
        used = engine.memory_info().vms
        engine.rlimit(psutil.RLIMIT_AS, (used, used))
    await _send_bodies(world, 4, 60_000)
    with contextlib.suppress(psutil.NoSuchProcess):
        engine.kill()  # so that what comes after has memory again
    return f"{engine.pid} was held at {used // 2**20} MiB"


async def _send_bodies(world: World, num: int, size: int) -> None:
    """Large prompts, whatever becomes of them."""
    text = "word " * (size // 5)
    asked = [world.http.post(CHAT, json=chat_body(text, max_tokens=1)) for _ in range(num)]
    await asyncio.gather(*asked, return_exceptions=True)


# -- clients ------------------------------------------------------------------------------------


def _connect(world: World, data: bytes) -> socket.socket:
    """A connection that has sent something and reads nothing."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.settimeout(10)
    client.connect(world.address)
    client.sendall(data)
    return client


async def _hold(world: World, datas: list[bytes], hold_s: float) -> None:
    """Connections that stay for a while and then are gone."""
    clients = []
    try:
        for data in datas:
            clients.append(await asyncio.to_thread(_connect, world, data))
        await asyncio.sleep(hold_s)
    finally:
        for client in clients:
            client.close()


async def read_nothing(world: World) -> str:
    """Clients ask for long streams and do not read."""
    body = chat_body(stream=True, ignore_eos=True, max_tokens=4000, logprobs=True, top_logprobs=5)
    asked = request(CHAT, httpx.Request("POST", "http://x", json=body).content)
    await _hold(world, [asked] * 8, HOLD_S)
    return "8 streams unread"


async def send_halves(world: World) -> str:
    """Clients stop in the middle of a head or a body."""
    whole = request(CHAT, b"{" + b" " * 5000)
    cuts = [whole[: world.chance.randint(0, len(whole) - 1)] for _ in range(40)]
    await _hold(world, cuts, HOLD_S)
    return "40 half requests"


async def storm(world: World) -> str:
    """Clients ask and are gone at once."""
    body = chat_body(stream=True, ignore_eos=True, max_tokens=2000)
    asked = request(CHAT, httpx.Request("POST", "http://x", json=body).content)
    for _ in range(60):
        client = await asyncio.to_thread(_connect, world, asked)
        await asyncio.sleep(world.chance.uniform(0, 0.03))
        client.close()
    return "60 clients came and went"


async def knock(world: World) -> str:
    """Connections without a byte."""
    await _hold(world, [b""] * 300, 0.2)
    return "300 connections without a byte"


async def send_noise(world: World) -> str:
    """Bytes that are no HTTP, and bodies without end."""
    head = request(CHAT, b"", "Transfer-Encoding: chunked").replace(b"Content-Length: 0\r\n", b"")
    noise = [world.chance.randbytes(200) for _ in range(30)]
    giants = [head + b"80000\r\n" + bytes(world.chance.randint(0, 0x80000)) for _ in range(4)]
    await _hold(world, [*noise, *giants, GET * 50], 0.3)
    return "30 times noise, 4 giant bodies, 50 pipelined requests"


# -- the disk -----------------------------------------------------------------------------------


@contextlib.contextmanager
def _disk_trouble(world: World) -> Iterator[None]:
    """Remember when the ledger could not be written."""
    begun_s = time.monotonic()
    try:
        yield
    finally:
        world.disk_troubles.append((begun_s, time.monotonic()))


async def fill_disk(world: World) -> str:
    """There is no byte left where the state is kept."""
    filler = world.state_dir / "filler"
    with _disk_trouble(world):
        try:
            size = await asyncio.to_thread(_fill, filler)
            await asyncio.sleep(HOLD_S)
        finally:
            filler.unlink(missing_ok=True)
    return f"filled with {size // 2**10} KiB"


def _fill(filler: os.PathLike[str]) -> int:
    """Write until nothing more goes in."""
    size = 0
    with open(filler, "wb", buffering=0) as file:
        for piece in (PIECE, PIECE[:512]):
            try:
                while True:
                    size += file.write(piece)
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
    return size


async def write_protect(world: World) -> str:
    """What is opened from now on is read-only; the system lets no disk become so under writers."""
    folder = str(world.state_dir)
    with _disk_trouble(world):
        subprocess.run(["mount", "--bind", folder, folder], check=True, capture_output=True)
        try:
            subprocess.run(
                ["mount", "-o", "remount,bind,ro", folder], check=True, capture_output=True
            )
            await asyncio.sleep(HOLD_S)
        finally:
            subprocess.run(["umount", "-l", folder], check=True, capture_output=True)
    return f"read-only for {HOLD_S:.0f} s"


# -- elsewhere ----------------------------------------------------------------------------------


async def _upstream(world: World, scenario: Scenario) -> None:
    """The host behaves like that for a while."""
    world.upstream.default = scenario
    await asyncio.sleep(HOLD_S)
    world.upstream.default = Scenario()


async def spoil_upstream(world: World) -> str:
    """The host fails in one of the ways that hosts are known for."""
    name = world.chance.choice(sorted(set(UPSTREAM_FAULTS) - OWN_MISTAKES))
    await _upstream(world, UPSTREAM_FAULTS[name])
    return f"the host did {name}"


async def cut_network(world: World) -> str:
    """Whatever is open to the host is cut, and nothing new comes through."""
    cut = list(world.upstream._tasks)
    for exchange in cut:
        exchange.cancel()
    await _upstream(world, Scenario(connection="reset"))
    return f"{len(cut)} connections were cut, and every new one"


# -- time ---------------------------------------------------------------------------------------


async def set_clock(world: World) -> str:
    """Somebody sets the clock, and sets it right again."""
    assert world.clock is not None
    seconds = world.chance.choice((-86400, -3600, 3600, 86400))
    world.clock.move(seconds)
    try:
        await asyncio.sleep(HOLD_S)
    finally:
        world.clock.move(0)
    return f"set {seconds:+} s"


FAULTS = (
    Fault("kill", signalled(signal.SIGKILL)),
    Fault("hang", signalled(signal.SIGSTOP)),
    Fault("abort", signalled(signal.SIGABRT)),
    Fault("segv", signalled(signal.SIGSEGV)),
    Fault("term", signalled(signal.SIGTERM)),
    Fault("memory", starve_engine, needs_linux=True),
    Fault("unread", read_nothing),
    Fault("halves", send_halves),
    Fault("storm", storm),
    Fault("knock", knock),
    Fault("noise", send_noise),
    Fault("disk-full", fill_disk, needs_small_disk=True),
    Fault("disk-ro", write_protect, needs_small_disk=True, needs_linux=True),
    Fault("network", cut_network),
    Fault("upstream", spoil_upstream),
    Fault("clock", set_clock, needs_clock=True),
)
