"""Server-sent events: framing, keep-alive comments, and the end of a stream that failed.

Owns the bytes between events. Invariant: a stream ends with `[DONE]` only after success; after a
failure its last event is the error.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing

import msgspec
from fastapi.responses import StreamingResponse

from runner.errors import RunnerError
from runner.types import JsonObject

from .errors import describe

KEEP_ALIVE_S = 10.0
DONE = b"data: [DONE]\n\n"
KEEP_ALIVE = b": keep-alive\n\n"
_encode = msgspec.json.Encoder().encode


def frame(payload: JsonObject, event: str | None = None) -> bytes:
    """One event; JSON never holds a line break, so one data line is enough."""
    head = f"event: {event}\n".encode() if event else b""
    return head + b"data: " + _encode(payload) + b"\n\n"


async def stream(
    chunks: AsyncGenerator[bytes], *, keep_alive_s: float = KEEP_ALIVE_S
) -> AsyncGenerator[bytes]:
    """The chunks, with comments while nothing comes, and the error event if they fail."""
    async with aclosing(chunks):
        try:
            async for chunk in with_keep_alive(chunks, keep_alive_s):
                yield chunk
        except RunnerError as error:
            yield frame(describe(error).body())
        except Exception as error:  # the client has to be told, whatever it was
            yield frame(describe(error).body())


async def with_keep_alive(
    chunks: AsyncIterator[bytes], keep_alive_s: float
) -> AsyncGenerator[bytes]:
    """The chunks, with a comment after each silence of `keep_alive_s`."""
    pending: asyncio.Future[bytes] | None = None
    try:
        while True:
            if pending is None:
                pending = asyncio.ensure_future(anext(chunks))
            done, _ = await asyncio.wait({pending}, timeout=keep_alive_s)
            if not done:
                yield KEEP_ALIVE
                continue
            try:
                chunk = pending.result()
            except StopAsyncIteration:
                return
            pending = None
            yield chunk
    finally:
        if pending is not None:
            pending.cancel()
            await asyncio.gather(pending, return_exceptions=True)


def response(chunks: AsyncGenerator[bytes], headers: dict[str, str]) -> StreamingResponse:
    """The streaming response of an event stream."""
    headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no", **headers}
    return StreamingResponse(stream(chunks), media_type="text/event-stream", headers=headers)
