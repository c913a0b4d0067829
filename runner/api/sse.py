"""Server-sent events: framing, keep-alive comments, and the end of a stream that failed.

Owns the bytes between events. Invariant: a stream ends with `[DONE]` only after success; after a
failure its last event is the error.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing

import msgspec
from fastapi.responses import StreamingResponse

from runner.errors import RunnerError
from runner.types import JsonObject

from .errors import describe

KEEP_ALIVE_S = 10.0
DONE = b"data: [DONE]\n\n"
KEEP_ALIVE = "keep-alive"
_encode = msgspec.json.Encoder().encode


def frame(payload: JsonObject, event: str | None = None) -> bytes:
    """One event; JSON never holds a line break, so one data line is enough."""
    head = f"event: {event}\n".encode() if event else b""
    return head + b"data: " + _encode(payload) + b"\n\n"


def comment(words: str) -> bytes:
    """A comment, which clients pass over; a line break would end it."""
    return f": {' '.join(words.split())}\n\n".encode()


def _nothing() -> str:
    return ""


async def stream(
    chunks: AsyncGenerator[bytes],
    *,
    keep_alive_s: float = KEEP_ALIVE_S,
    awaited: Callable[[], str] = _nothing,
) -> AsyncGenerator[bytes]:
    """The chunks, with comments while nothing comes, and the error event if they fail.

    `awaited` says what is being waited for, if it is worth telling.
    """
    async with aclosing(chunks):
        try:
            async for chunk in with_keep_alive(chunks, keep_alive_s, awaited):
                yield chunk
        except RunnerError as error:
            yield frame(describe(error).body())
        except Exception as error:  # the client has to be told, whatever it was
            yield frame(describe(error).body())


async def with_keep_alive(
    chunks: AsyncIterator[bytes], keep_alive_s: float, awaited: Callable[[], str] = _nothing
) -> AsyncGenerator[bytes]:
    """The chunks, with a comment after each silence of `keep_alive_s`."""
    pending: asyncio.Future[bytes] | None = None
    try:
        while True:
            if pending is None:
                pending = asyncio.ensure_future(anext(chunks))
            done, _ = await asyncio.wait({pending}, timeout=keep_alive_s)
            if not done:
                yield comment(awaited() or KEEP_ALIVE)
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


def response(
    chunks: AsyncGenerator[bytes], headers: dict[str, str], awaited: Callable[[], str] = _nothing
) -> StreamingResponse:
    """The streaming response of an event stream; `awaited` as `stream` has it."""
    headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no", **headers}
    return StreamingResponse(
        stream(chunks, awaited=awaited), media_type="text/event-stream", headers=headers
    )
