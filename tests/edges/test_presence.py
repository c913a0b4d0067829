"""Whoever goes away, or stops reading, is not generated for any longer.

`RUNNER_TEST_DEPARTURES` sets how many clients go away (24; the full run is 500).
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import socket
import sys
import time
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from runner.api.app import create_app
from runner.api.connection import Patience
from runner.config import Settings
from runner.services import Services, build
from tests.api.caller import MODEL, chat_body

from .wire import listening, request

CHAT = "/v1/chat/completions"
ENDLESS = chat_body(
    stream=True, ignore_eos=True, max_tokens=6000, logprobs=True, top_logprobs=5
)  # fmt: skip
LONG_PROMPT = chat_body(
    stream=True, max_tokens=2000, ignore_eos=True,
    messages=[{"role": "user", "content": "A book lies on the table of the old house. " * 90}],
)  # fmt: skip
EVENTUALLY_S = 5.0  # half a second and a heartbeat, on a machine that may be busy
NUM_DEPARTURES = int(os.environ.get("RUNNER_TEST_DEPARTURES", "24"))
NUM_TOGETHER = 12  # more than are answered at once


@pytest.fixture
async def services() -> AsyncIterator[Services]:
    services = build(Settings(offline=True))
    await services.start((MODEL,))
    yield services
    await services.stop()


async def running(services: Services) -> int:
    """How many answers the engine is working on, as it says after now."""
    engine = await services.pool.engine(MODEL)
    status = engine.status
    while engine.status is status or engine.status is None:
        await asyncio.sleep(0.01)
    return engine.status.num_running + engine.status.num_waiting


async def wait_running(services: Services, num: int) -> float:
    """How long it took until so many were running, in seconds."""
    begun_s = time.monotonic()
    async with asyncio.timeout(EVENTUALLY_S):
        while await running(services) != num:
            await asyncio.sleep(0)
    return time.monotonic() - begun_s


@pytest.mark.timeout(60 + NUM_DEPARTURES)
@pytest.mark.parametrize("num_pieces", [1, 2, 5])
async def test_a_client_that_leaves_at_any_moment_stops_its_answer(
    services: Services, num_pieces: int
) -> None:
    async with listening(create_app(services), Patience()) as port:
        url = f"http://127.0.0.1:{port}{CHAT}"
        async with httpx.AsyncClient(timeout=20) as client:
            slowest_s = 0.0
            for _ in range(NUM_DEPARTURES // 6):
                async with client.stream("POST", url, json=ENDLESS) as response:
                    pieces = response.aiter_raw()
                    for _ in range(num_pieces):
                        await anext(pieces)
                slowest_s = max(slowest_s, await wait_running(services, 0))
    sys.stderr.write(f"A1: in mid-stream, idle again within {slowest_s:.2f} s\n")


async def leave(port: int, body: dict[str, Any], after_s: float) -> None:
    """Ask, and go away."""
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request(CHAT, json.dumps(body).encode()))
    await asyncio.sleep(after_s)
    writer.transport.abort()


@pytest.mark.timeout(60 + NUM_DEPARTURES)
async def test_clients_that_leave_a_prompt_or_the_queue_leave_nothing_behind(
    services: Services,
) -> None:
    """Some are still sending, some wait for a slot, some for their prompt, some read already."""
    chance = random.Random(11)
    app: FastAPI = create_app(services)
    slowest_s = 0.0
    async with listening(app, Patience()) as port:
        for _ in range(NUM_DEPARTURES // 2 // NUM_TOGETHER):
            bodies = [chance.choice((LONG_PROMPT, ENDLESS)) for _ in range(NUM_TOGETHER)]
            departures = (leave(port, body, chance.uniform(0, 0.4)) for body in bodies)
            await asyncio.gather(*departures)
            slowest_s = max(slowest_s, await wait_running(services, 0))
            async with asyncio.timeout(EVENTUALLY_S):
                while app.state.gate.num_open:
                    await asyncio.sleep(0.01)
    sys.stderr.write(f"A1: at any moment, idle again within {slowest_s:.2f} s\n")


async def test_a_client_that_does_not_read_stops_its_answer(services: Services) -> None:
    app: FastAPI = create_app(services)
    async with listening(app, Patience(write_stall_s=0.5)) as port:
        with socket.socket() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.connect(("127.0.0.1", port))
            client.sendall(request(CHAT, json.dumps(ENDLESS).encode()))
            begun_s = time.monotonic()
            while not app.state.gate.num_open:
                await asyncio.sleep(0.01)
            async with asyncio.timeout(20):
                while app.state.gate.num_open:
                    await asyncio.sleep(0.01)
            assert time.monotonic() - begun_s >= 0.5
            await wait_running(services, 0)


async def test_an_answer_that_was_read_to_its_end_is_not_cut(services: Services) -> None:
    body = chat_body(stream=True, max_tokens=40, ignore_eos=True)
    async with (
        listening(create_app(services), Patience()) as port,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=20) as client,
    ):
        for _ in range(5):
            response = await client.post(CHAT, json=body)
            assert response.text.endswith("data: [DONE]\n\n")
        metrics = (await client.get("/metrics")).text
    assert 'outcome="ok"' in metrics
    assert "cancelled" not in metrics
