"""While nothing comes, comments keep a stream open and say what is being waited for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

from runner.api import sse


async def slow(is_over: asyncio.Event) -> AsyncGenerator[bytes]:
    yield sse.frame({"first": 1})
    await is_over.wait()
    yield sse.DONE


async def test_comments_say_what_is_awaited_on_one_line_each() -> None:
    is_over = asyncio.Event()
    news = iter(["", "small is being fetched: 1 of\n 3 MB", "small is being fetched: 2 of 3 MB"])

    def awaited() -> str:
        words = next(news, None)
        if words is None:
            is_over.set()
        return words or ""

    frames = [one async for one in sse.stream(slow(is_over), keep_alive_s=0.01, awaited=awaited)]
    assert frames[1:4] == [
        b": keep-alive\n\n",
        b": small is being fetched: 1 of 3 MB\n\n",
        b": small is being fetched: 2 of 3 MB\n\n",
    ]
    assert (frames[0], frames[-1]) == (b'data: {"first":1}\n\n', sse.DONE)
