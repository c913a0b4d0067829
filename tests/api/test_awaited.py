"""While nothing comes, comments keep a stream open and say what is being waited for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

from starlette.types import Message

from runner.api import sse


async def slow(is_over: asyncio.Event) -> AsyncGenerator[bytes]:
    yield sse.frame({"first": 1})
    await is_over.wait()
    yield sse.DONE


async def receive() -> Message:
    raise AssertionError("nothing is read of the client")


async def test_comments_say_what_is_awaited_on_one_line_each() -> None:
    is_over = asyncio.Event()
    news = iter(["", "small is being fetched: 1 of\n 3 MB", "small is being fetched: 2 of 3 MB"])

    def awaited() -> str:
        words = next(news, None)
        if words is None:
            is_over.set()
        return words or ""

    parts: list[Message] = []

    async def send(part: Message) -> None:
        parts.append(part)

    await sse.EventStream(slow(is_over), {}, awaited, keep_alive_s=0.01)({}, receive, send)
    frames = [part["body"] for part in parts[1:]]
    assert frames[1:4] == [
        b": keep-alive\n\n",
        b": small is being fetched: 1 of 3 MB\n\n",
        b": small is being fetched: 2 of 3 MB\n\n",
    ]
    assert (frames[0], frames[-2:]) == (b'data: {"first":1}\n\n', [sse.DONE, b""])
    assert [part.get("more_body") for part in parts[-2:]] == [True, False]
