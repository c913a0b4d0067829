"""Raw bytes over loopback: an application behind our connections, and clients without manners."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator
from typing import Any

import uvicorn
from starlette.types import ASGIApp

from runner.api.connection import Patience, connection_type
from runner.api.limits import MAX_HEADER_BYTES

GET = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
ANSWER_S = 20.0  # far more than any answer takes


@contextlib.asynccontextmanager
async def listening(app: ASGIApp, patience: Patience) -> AsyncIterator[int]:
    """The port of an application that is served in this very loop."""
    with socket.create_server(("127.0.0.1", 0)) as bound:
        config = uvicorn.Config(
            app,
            http=connection_type(patience),
            ws="none",
            lifespan="off",
            log_config=None,
            h11_max_incomplete_event_size=MAX_HEADER_BYTES,
            timeout_graceful_shutdown=1,
            timeout_keep_alive=60,
        )
        server = uvicorn.Server(config)
        serving = asyncio.create_task(server.serve([bound]))
        while not server.started:
            await asyncio.sleep(0.01)
        yield bound.getsockname()[1]
        server.should_exit = True
        await serving


@contextlib.asynccontextmanager
async def connected(
    port: int,
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection that is dropped in the end, whatever is on it."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


async def exchange(port: int, data: bytes) -> bytes:
    """Everything that comes back before the server closes."""
    async with connected(port) as (reader, writer):
        writer.write(data)
        return await read_all(reader)


async def read_all(reader: asyncio.StreamReader) -> bytes:
    """What comes until the end of the connection, orderly or not."""
    received = b""
    with contextlib.suppress(ConnectionError):
        async with asyncio.timeout(ANSWER_S):
            while data := await reader.read(65536):
                received += data
    return received


def status_of(answer: bytes) -> int:
    """The status of an answer."""
    return int(answer.split(b" ", 2)[1])


def error_of(answer: bytes) -> dict[str, Any]:
    """The envelope in an answer."""
    error: dict[str, Any] = json.loads(answer.partition(b"\r\n\r\n")[2])["error"]
    assert {"message", "type", "param", "code"} <= set(error)
    return error


def request(
    path: str, body: bytes, *lines: str, method: str = "POST", length: int | None = None
) -> bytes:
    """A request with a JSON body, or one that claims to be `length` bytes long."""
    head = [
        f"{method} {path} HTTP/1.1",
        "Host: localhost",
        "Content-Type: application/json",
        f"Content-Length: {len(body) if length is None else length}",
        *lines,
    ]
    return "\r\n".join(head).encode("latin-1") + b"\r\n\r\n" + body
