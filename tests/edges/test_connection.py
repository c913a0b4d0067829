"""A connection ends when its client stops talking or listening, and not before."""

from __future__ import annotations

import asyncio
import socket
import time

import pytest
from starlette.types import Receive, Scope, Send

from runner.api.connection import Patience

from .wire import GET, connected, error_of, exchange, listening, read_all, request, status_of

PATIENCE = Patience(head_s=0.3, write_stall_s=0.3)
EVENTUALLY_S = 8.0  # the machine may be busy
OK = {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]}


async def say_ok(_scope: Scope, _receive: Receive, send: Send) -> None:
    """Answers without a look at the body."""
    await send(OK)
    await send({"type": "http.response.body", "body": b"ok"})


async def read_then_say_ok(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers once the body is complete."""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        if not message.get("more_body"):
            break
    await say_ok(scope, receive, send)


class Fountain:
    """Streams for ever, and knows how much it got rid of and whether it was cancelled."""

    def __init__(self) -> None:
        self.num_sent = 0
        self.ended = asyncio.Event()

    async def __call__(self, _scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        pouring = asyncio.create_task(self._pour(send))
        while (await receive())["type"] != "http.disconnect":
            pass
        pouring.cancel()
        self.ended.set()

    async def _pour(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        while True:
            await send({"type": "http.response.body", "body": b"x" * 4096, "more_body": True})
            self.num_sent += 4096
            await asyncio.sleep(0)


async def test_silence_is_hung_up_on() -> None:
    async with listening(say_ok, PATIENCE) as port:
        begun = time.monotonic()
        assert await exchange(port, b"") == b""
        assert PATIENCE.head_s <= time.monotonic() - begun < EVENTUALLY_S


@pytest.mark.parametrize("data", [b"G", b"GET / HTTP/1.1\r\nHost: local"])
async def test_half_a_head_is_told_and_hung_up_on(data: bytes) -> None:
    async with listening(say_ok, PATIENCE) as port:
        answer = await exchange(port, data)
    assert status_of(answer) == 408
    assert "headers did not come" in error_of(answer)["message"]


async def test_dripping_bytes_do_not_buy_time() -> None:
    async with listening(say_ok, PATIENCE) as port, connected(port) as (reader, writer):
        begun = time.monotonic()
        answering = asyncio.create_task(read_all(reader))
        for byte in GET * 20:
            if answering.done():
                break
            writer.write(bytes([byte]) if byte not in b"\r\n" else b"x")
            await asyncio.sleep(0.03)
        assert status_of(await answering) == 408
        assert time.monotonic() - begun < EVENTUALLY_S


async def test_a_connection_that_is_kept_waits_longer_than_a_head_may_take() -> None:
    async with listening(say_ok, PATIENCE) as port, connected(port) as (reader, writer):
        for _ in range(2):
            writer.write(GET)
            assert (await reader.readuntil(b"ok")).startswith(b"HTTP/1.1 200")
            await asyncio.sleep(2 * PATIENCE.head_s)


@pytest.mark.parametrize("num_bytes", [20_000, 200_000])
async def test_a_head_without_end_is_refused(num_bytes: int) -> None:
    endless = b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * num_bytes
    async with listening(say_ok, PATIENCE) as port:
        answer = await exchange(port, endless)
    assert status_of(answer) == 431
    assert error_of(answer)["code"] == "headers_too_large"


@pytest.mark.parametrize(
    "data",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"GET /\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: cow\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX\x00Y: 1\r\n\r\n",
    ],
)
async def test_what_is_not_http_is_a_400_in_the_envelope(data: bytes) -> None:
    async with listening(read_then_say_ok, PATIENCE) as port:
        answer = await exchange(port, data)
        assert status_of(answer) == 400
        assert error_of(answer)["type"] == "invalid_request_error"
        assert b"200 OK" in await exchange(
            port, GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
        )


async def test_a_refused_body_that_does_not_come_is_not_waited_for() -> None:
    async with listening(say_ok, PATIENCE) as port:
        begun = time.monotonic()
        answer = await exchange(port, request("/", b"x", length=1_000_000))
        assert answer.endswith(b"ok")
        assert PATIENCE.head_s <= time.monotonic() - begun < EVENTUALLY_S


async def test_a_refused_body_that_does_come_leaves_the_connection_usable() -> None:
    async with listening(say_ok, PATIENCE) as port, connected(port) as (reader, writer):
        writer.write(request("/", b"x" * 300_000) + GET)
        for _ in range(2):
            assert (await reader.readuntil(b"ok")).startswith(b"HTTP/1.1 200")


async def test_a_client_that_does_not_read_is_cut_off_and_held_little_for() -> None:
    fountain = Fountain()
    async with listening(fountain, PATIENCE) as port:
        with socket.socket() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.connect(("127.0.0.1", port))
            client.sendall(GET)
            async with asyncio.timeout(EVENTUALLY_S):
                await fountain.ended.wait()
    assert 0 < fountain.num_sent <= 2**20


async def test_a_client_that_reads_slowly_is_not_cut_off() -> None:
    fountain = Fountain()
    patience = Patience(head_s=5, write_stall_s=1.0)
    async with listening(fountain, patience) as port:
        with socket.socket() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.connect(("127.0.0.1", port))
            client.sendall(GET)
            client.setblocking(False)
            loop = asyncio.get_running_loop()
            until_s = loop.time() + 3 * patience.write_stall_s
            while loop.time() < until_s:
                await loop.sock_recv(client, 65536)
                await asyncio.sleep(0.02)
            assert not fountain.ended.is_set()
