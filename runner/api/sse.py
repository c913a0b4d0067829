"""Server-sent events: framing, keep-alive comments, and the end of a stream that failed.

Owns the bytes between events. Invariant: a stream ends with `[DONE]` only after success; after a
failure its last event is the error. Frames pass through the request's own task, without one more
for each: at a hundred tokens a second that would cost the engine a part of its cores.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

import msgspec
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

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


class EventStream(Response):
    """A response of frames as they come, with comments while nothing comes.

    `awaited` says what is being waited for, if it is worth telling. A failure of the frames is
    the last event.
    """

    media_type = "text/event-stream"

    def __init__(
        self,
        frames: AsyncGenerator[bytes],
        headers: dict[str, str],
        awaited: Callable[[], str] = _nothing,
        keep_alive_s: float = KEEP_ALIVE_S,
    ) -> None:
        self.status_code = 200
        self.background = None
        self._frames = frames
        self._awaited = awaited
        self._keep_alive_s = keep_alive_s
        self._sent_s = 0.0
        self.init_headers({"Cache-Control": "no-cache", "X-Accel-Buffering": "no", **headers})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send(
            {
                "type": "http.response.start",
                "status": self.status_code,
                "headers": self.raw_headers,
            }
        )
        self._sent_s = time.monotonic()
        breaking_silence = asyncio.create_task(self._break_silence(send))
        try:
            async with aclosing(self._frames) as frames:
                await self._send_all(frames, send)
        finally:
            breaking_silence.cancel()
        await send(_part(b"", is_last=True))

    async def _send_all(self, frames: AsyncGenerator[bytes], send: Send) -> None:
        try:
            async for data in frames:
                self._sent_s = time.monotonic()
                await send(_part(data))
        except Exception as error:  # the client has to be told, whatever it was
            await send(_part(frame(describe(error).body())))

    async def _break_silence(self, send: Send) -> None:
        """A comment after each silence of `keep_alive_s`; whole parts never mix."""
        while True:
            silent_s = time.monotonic() - self._sent_s
            if silent_s >= self._keep_alive_s:
                self._sent_s = time.monotonic()
                await send(_part(comment(self._awaited() or KEEP_ALIVE)))
            else:
                await asyncio.sleep(self._keep_alive_s - silent_s)


def _part(data: bytes, *, is_last: bool = False) -> Message:
    return {"type": "http.response.body", "body": data, "more_body": not is_last}
