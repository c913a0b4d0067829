"""A long prompt that arrives while other streams run: how long do those have to wait?"""

from __future__ import annotations

import asyncio
import contextlib
import time
from statistics import median

from bench.client import Reply, Watched
from bench.server import running

from .task import Figures, Task, ask, rounded

NUM_STREAMS = 3
ROOM = 1024


async def run(task: Task) -> Figures:
    """The longest gap of a running stream during the prefill, against its normal gap."""
    scale = task.scale
    context = rounded(scale.long_prompt + ROOM)
    async with running(task.contender, task.setting(context, NUM_STREAMS + 1)) as server:
        watched = [Watched() for _ in range(NUM_STREAMS)]
        max_tokens = context - scale.prompt - 64
        streams = [
            asyncio.create_task(
                server.client.chat(
                    ask(task.text(scale.prompt, number)), max_tokens=max_tokens, watched=one
                )
            )
            for number, one in enumerate(watched)
        ]
        try:
            for one, stream in zip(watched, streams, strict=True):
                await _until_steady(one, stream, scale.steady_pieces)
            sent_s = time.monotonic()
            long_one = ask(task.text(scale.long_prompt, "long"))
            reply = await server.client.chat(long_one, max_tokens=4)
        finally:
            await _end(streams)
    return _figures(watched, sent_s, reply)


async def _until_steady(watched: Watched, stream: asyncio.Task[Reply], count: int) -> None:
    """Return when bytes have come that often; raises what the stream raises if it ends before."""
    waiting = asyncio.create_task(watched.wait_for(count))
    await asyncio.wait((waiting, stream), return_when=asyncio.FIRST_COMPLETED)
    if not waiting.done():
        waiting.cancel()
        await stream


async def _end(streams: list[asyncio.Task[Reply]]) -> None:
    for stream in streams:
        stream.cancel()
    for stream in streams:
        with contextlib.suppress(asyncio.CancelledError):
            await stream


def _figures(watched: list[Watched], sent_s: float, reply: Reply) -> Figures:
    first_s = reply.times_s[0]
    steady = [gap for one in watched for gap in one.gaps_s(one.times_s[2], sent_s)]
    normal_s = median(steady)
    during = [gap for one in watched for gap in one.gaps_s(sent_s - normal_s, first_s)]
    return {
        "long_gap_normal_ms": normal_s * 1e3,
        "long_gap_worst_ms": max(during, default=first_s - sent_s) * 1e3,
        "long_first_token_s": reply.first_token_s,
    }
