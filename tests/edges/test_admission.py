"""A full server says so at once, and a body has a limited time to come."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, Request
from starlette.types import Receive, Scope, Send

from runner.api import errors
from runner.api.connection import Patience
from runner.api.limits import Admission, Gate
from tests.api.caller import chat_body
from tests.fakes.slow_model import ONE_THREAD, SLOW, install_slow_model
from tests.serving import Server, serve

from .wire import GET, connected, error_of, exchange, listening, read_all, request, status_of

CHAT = "/v1/chat/completions"
ENDLESS = chat_body(model=SLOW, stream=True, ignore_eos=True, max_tokens=6000)


def test_the_gate_counts_and_refuses() -> None:
    gate = Gate(max_open=2)
    assert gate.refusal(CHAT) is None
    gate.num_open = 2
    refusal = gate.refusal(CHAT)
    assert refusal
    assert (refusal.status, refusal.code) == (429, "rate_limit_exceeded")
    assert refusal.retry_after_s
    assert gate.refusal("/health") is None
    gate.is_stopping = True
    for path in (CHAT, "/health"):
        refusal = gate.refusal(path)
        assert refusal
        assert refusal.status == 503


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that takes three requests at once."""
    home = tmp_path_factory.mktemp("small")
    install_slow_model(home)
    with serve(home, SLOW, *ONE_THREAD, RUNNER_SERVER__MAX_OPEN_REQUESTS="3") as server:
        yield server


def test_a_full_server_refuses_at_once_and_stays_healthy(small: Server) -> None:
    with httpx.Client(base_url=small.origin, timeout=20) as client:
        with contextlib.ExitStack() as stack:
            for _ in range(3):
                opened = stack.enter_context(client.stream("POST", CHAT, json=ENDLESS))
                assert opened.status_code == 200
            refused = client.post(CHAT, json=ENDLESS)
            assert refused.status_code == 429
            assert refused.json()["error"]["code"] == "rate_limit_exceeded"
            assert int(refused.headers["retry-after"]) >= 1
            assert client.get("/v1/models").status_code == 429
            assert client.get("/health").status_code == 200
        deadline_s = time.monotonic() + 5
        while client.get("/v1/models").status_code == 429:
            assert time.monotonic() < deadline_s


def reading_app(body_timeout_s: float) -> FastAPI:
    """An application that reads the body, and then thinks for a while."""
    app = FastAPI()
    errors.install(app)

    @app.post("/")
    async def read(request: Request) -> int:
        size = len(await request.body())
        await asyncio.sleep(2 * body_timeout_s)
        return size

    app.add_middleware(Admission, gate=Gate(8), body_timeout_s=body_timeout_s)
    return app


async def test_a_body_that_stays_away_is_a_408() -> None:
    async with listening(reading_app(0.2), Patience(head_s=0.3)) as port:
        answer = await exchange(port, request("/", b"half", length=100))
    assert status_of(answer) == 408
    assert error_of(answer)["type"] == "invalid_request_error"


async def test_a_body_that_drips_is_a_408_too() -> None:
    patience = Patience(head_s=0.3)
    async with (
        listening(reading_app(0.3), patience) as port,
        connected(port) as (reader, writer),
    ):
        writer.write(request("/", b"", length=10_000))
        answering = asyncio.create_task(read_all(reader))
        while not answering.done():
            writer.write(b"x")
            await asyncio.sleep(0.05)
        assert status_of(await answering) == 408


async def test_what_takes_long_after_the_body_is_not_cut_off() -> None:
    async with listening(reading_app(0.2), Patience()) as port:
        answer = await exchange(port, request("/", b"body", "Connection: close"))
    assert status_of(answer) == 200
    assert answer.endswith(b"4")


async def test_the_gate_is_left_by_whoever_goes_away() -> None:
    gate = Gate(1)
    entered = asyncio.Event()

    async def never(_scope: Scope, _receive: Receive, _send: Send) -> None:
        entered.set()
        await asyncio.Event().wait()

    async def nothing(*_message: Any) -> Any:
        return None

    open_request = Admission(never, gate)({"type": "http", "path": "/"}, nothing, nothing)
    waiting = asyncio.create_task(open_request)
    await entered.wait()
    assert gate.num_open == 1
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    assert gate.num_open == 0


def test_half_a_request_holds_up_nobody(small: Server) -> None:
    host, port = small.origin.removeprefix("http://").split(":")
    with contextlib.ExitStack() as stack:
        for _ in range(20):
            half = stack.enter_context(socket.create_connection((host, int(port))))
            half.sendall(GET[:20])
        assert httpx.post(small.origin + CHAT, json=chat_body(), timeout=20).status_code == 200
