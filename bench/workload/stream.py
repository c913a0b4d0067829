"""Plain streams: one, eight, and 32 in a server with room for all of them."""

from __future__ import annotations

import asyncio
import time

from bench.client import Reply
from bench.measure import steady_tok_s
from bench.server import Running, running

from .task import Figures, Task, ask

CONTEXT = 1024


async def run_one(task: Task) -> Figures:
    """Decode speed of one stream, and its speed from sending to the last byte."""
    async with running(task.contender, task.setting(CONTEXT, 1)) as server:
        replies = [await _ask(server, task, name, task.scale.output) for name in range(2)]
    return {
        "one_decode_tok_s": max(reply.decode_tok_s for reply in replies),
        "one_total_tok_s": max(reply.num_generated / reply.duration_s for reply in replies),
        "one_first_token_s": min(reply.first_token_s for reply in replies),
    }


async def run_eight(task: Task) -> Figures:
    """Total speed of eight streams, and the memory of the server after them."""
    async with running(task.contender, task.setting(CONTEXT, 8)) as server:
        total, decode = await _together(server, task, 8, task.scale.output // 2)
        memory_mb = server.memory_bytes() / 1e6
    return {"eight_total_tok_s": total, "eight_decode_tok_s": decode, "memory_mb": memory_mb}


async def run_crowd(task: Task) -> Figures:
    """Total speed of 32 streams at once."""
    async with running(task.contender, task.setting(CONTEXT // 4, 32)) as server:
        total, decode = await _together(server, task, 32, task.scale.crowd_output)
    return {"crowd_total_tok_s": total, "crowd_decode_tok_s": decode}


async def _together(
    server: Running, task: Task, count: int, max_tokens: int
) -> tuple[float, float]:
    """Tokens per second of all streams: end to end, and while all of them decode."""
    begun_s = time.monotonic()
    asked = (_ask(server, task, name, max_tokens) for name in range(count))
    replies = await asyncio.gather(*asked)
    wall_s = time.monotonic() - begun_s
    return sum(reply.num_generated for reply in replies) / wall_s, steady_tok_s(replies)


async def _ask(server: Running, task: Task, name: int, max_tokens: int) -> Reply:
    text = task.text(task.scale.prompt, name)
    return await server.client.chat(ask(text), max_tokens=max_tokens)
