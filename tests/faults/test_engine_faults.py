"""The engine hangs in C, is hit in its weights, or has no memory; or the server itself is killed.

Rows W3, W4, W5 and W8. `RUNNER_TEST_CRASHES` sets how often the server is killed (2; the full run
is 100).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import sqlite3
import sys
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from runner.api.app import create_app
from runner.config import Settings
from runner.engine.messages import Load
from runner.errors import EngineCrashedError, EngineLoadError
from runner.local import pool as pool_module
from runner.local.pool import MAX_CRASHES, MAX_SYSTEM_KILLS, Order, Pool
from runner.local.process import EngineProcess
from runner.services import build
from tests.api.caller import MODEL, chat_body, engine_of
from tests.control_group import memory_group
from tests.engine.asking import ask, chat_prompt
from tests.serving import serve

CHAT = "/v1/chat/completions"
NUM_CYCLES = int(os.environ.get("RUNNER_TEST_CRASHES", "2"))
STUCK_AFTER_S = 2.0
NOTICE_S = 8.0  # beside the watchdog's patience, on a machine that may be busy
MIB = 2**20


def stand_in(folder: Path, monkeypatch: pytest.MonkeyPatch, *words: str) -> None:
    """Engines are started by another command from now on; `FD` is the child's socket."""
    wrapper = folder / "python"
    shown = " ".join('"$fd"' if word == "FD" else f"'{word}'" for word in words)
    wrapper.write_text(f"#!/bin/sh\nfor fd; do :; done\nexec {shown}\n")
    wrapper.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(wrapper))


@pytest.fixture
async def watched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[httpx.AsyncClient, Path, Any]]:
    """A server whose engine hangs when a file appears, and a watchdog of little patience."""
    child, switch = Path(__file__).parent / "hanging_child.py", tmp_path / "hang"
    stand_in(tmp_path, monkeypatch, sys.executable, "-P", str(child), "FD", str(switch))
    monkeypatch.setattr(pool_module, "STUCK_AFTER_S", STUCK_AFTER_S)
    services = build(Settings(offline=True))
    await services.start((MODEL,))
    transport = httpx.ASGITransport(create_app(services))
    async with httpx.AsyncClient(
        transport=transport, base_url="http://localhost", timeout=60
    ) as client:
        yield client, switch, services
    await services.stop()


async def test_an_engine_that_hangs_in_c_is_noticed_although_its_heart_beats(
    watched: tuple[httpx.AsyncClient, Path, Any],
) -> None:
    """W3."""
    client, switch, services = watched
    body = chat_body(max_tokens=40, ignore_eos=True, temperature=0)
    expected = (await client.post(CHAT, json=body)).json()["choices"][0]["message"]["content"]
    engine = await services.pool.engine(MODEL)
    switch.touch()
    begun_s = time.monotonic()
    asked = asyncio.create_task(client.post(CHAT, json=body))
    while engine.state == "ready":
        assert (await client.get("/health")).status_code == 200
        assert time.monotonic() - engine._heard_s < 1.5, "the heart stopped: another fault"
        await asyncio.sleep(0.02)
    noticed_s = time.monotonic() - begun_s
    answer = await asked
    sys.stderr.write(
        f"W3: noticed after {noticed_s:.2f} s, answered after {time.monotonic() - begun_s:.2f} s\n"
    )
    assert STUCK_AFTER_S <= noticed_s < STUCK_AFTER_S + NOTICE_S
    assert answer.status_code == 200, answer.text
    assert answer.json()["choices"][0]["message"]["content"] == expected
    assert (await services.pool.engine(MODEL)).pid != engine.pid


async def test_weights_cut_short_under_a_running_engine_end_it_with_its_reason(
    start_engine: Callable[..., Any], tiny_weights: Path, tmp_path: Path
) -> None:
    """W4: the bus error of a mapped file that is no longer there."""
    copy = tmp_path / "copy.gguf"
    shutil.copyfile(tiny_weights, copy)
    engine = await start_engine(copy)
    assert (await ask(engine, chat_prompt("hello"), max_tokens=2)).text is not None
    os.truncate(copy, 4096)
    with pytest.raises(EngineCrashedError, match="SIGBUS"):
        for _ in range(50):
            await ask(engine, chat_prompt("count from 1 to 90"), max_tokens=20)
    assert not psutil.pid_exists(engine.pid)


@dataclass
class Ordeal:
    """A model that was asked for again and again: its starts, what was said, how it ended."""

    pids: list[int] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)
    residency: str = ""

    async def undergo(self, load: Load) -> None:
        """More often than it may crash."""
        pool = Pool(lambda _model: self._order(load), clock=time.monotonic, start=self._start)
        for _ in range(MAX_CRASHES + 3):
            with pytest.raises(EngineLoadError) as refusal:
                await pool.engine("m")
            self.reasons.append(str(refusal.value))
        self.residency = pool.residency("m")
        await pool.aclose()
        sys.stderr.write(f"W5: {len(self.pids)} starts, {self.reasons[0]}\n{self.reasons[-1]}\n")

    async def _order(self, load: Load) -> Order:
        return Order(load, 100)

    async def _start(self, load: Load) -> EngineProcess:
        engine = await EngineProcess.start(load)
        self.pids.append(engine.pid)
        return engine


async def test_an_engine_that_may_not_have_the_memory_it_needs_rests(tiny_weights: Path) -> None:
    """W5, by the limit on the process itself: no loop of crashes, and a reason."""
    ordeal = Ordeal()
    limit = 24 * MIB
    await ordeal.undergo(Load([str(tiny_weights)], 8192, 2, 1 << 20, 1, memory_limit_bytes=limit))
    assert len(ordeal.pids) <= MAX_CRASHES
    assert ordeal.residency == "failed"
    assert "rests for a while" in ordeal.reasons[-1]


async def test_an_engine_that_the_system_kills_for_its_memory_rests_and_is_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_weights: Path
) -> None:
    """W5, by the kernel, where it lends us a group."""
    ordeal = Ordeal()
    with memory_group() as group:
        group.limit(tiny_weights.stat().st_size + 64 * MIB)
        join = f'echo $$ > {group.members}; exec "$@"'
        child = [sys.executable, "-P", "-m", "runner.engine.child", "FD"]
        stand_in(tmp_path, monkeypatch, "/bin/sh", "-c", join, "sh", *child)
        await ordeal.undergo(Load([str(tiny_weights)], 8192, 2, 1 << 20, 1))
        assert group.num_kills() == len(ordeal.pids) <= MAX_SYSTEM_KILLS
    assert "SIGKILL" in ordeal.reasons[0]
    assert "memory runs out" in ordeal.reasons[0]
    assert ordeal.residency == "failed"
    assert "rests for a while" in ordeal.reasons[-1]


@pytest.mark.timeout(60 + 10 * NUM_CYCLES)
def test_a_server_that_is_killed_leaves_nothing_running_and_its_books_whole(
    tmp_path: Path,
) -> None:
    """W8."""
    slowest_s = 0.0
    for _ in range(NUM_CYCLES):
        with serve(tmp_path, MODEL) as server:
            engine = psutil.Process(engine_of(server)["pid"])
            port = int(server.origin.rpartition(":")[2])
            body = chat_body(stream=True, ignore_eos=True, max_tokens=2000)
            url = server.origin + CHAT
            assert httpx.post(url, json=chat_body(), timeout=30).status_code == 200
            with (
                contextlib.suppress(httpx.HTTPError),
                httpx.stream("POST", url, json=body, timeout=30) as stream,
            ):
                pieces = stream.iter_raw()
                next(pieces)
                begun_s = time.monotonic()
                server.process.send_signal(signal.SIGKILL)
                b"".join(pieces)
            while engine.is_running() and engine.status() != psutil.STATUS_ZOMBIE:
                assert time.monotonic() - begun_s < NOTICE_S
                time.sleep(0.01)
            slowest_s = max(slowest_s, time.monotonic() - begun_s)
        with socket.create_server(("127.0.0.1", port)):
            pass  # the port is free
        path = tmp_path / "runner-home" / "ledger.sqlite3"
        with contextlib.closing(sqlite3.connect(path)) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    sys.stderr.write(f"W8: {NUM_CYCLES} kills, the engine was gone within {slowest_s:.2f} s\n")
