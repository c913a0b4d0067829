"""A system prompt known from before a restart: is its first token as late as that of a new one?"""

from __future__ import annotations

import asyncio

from bench.server import running

from .task import Figures, Task, ask, rounded

SETTLE_S = 2.0  # what a server writes down in the background may take a moment


async def run(task: Task) -> Figures:
    """Seconds to the first token: prompt known from the server's last life, and unknown prompt."""
    scale = task.scale
    setting = task.setting(rounded(scale.prefix + 256), 2)
    known, unknown = task.text(scale.prefix, "known"), task.text(scale.prefix, "unknown")
    async with running(task.contender, setting) as server:
        await server.client.chat(ask("first life", known), max_tokens=4)
        await asyncio.sleep(SETTLE_S)
    async with running(task.contender, setting) as server:
        warm = await server.client.chat(ask("second life", known), max_tokens=4)
        cold = await server.client.chat(ask("second life", unknown), max_tokens=4)
    return {
        "restart_warm_s": warm.first_token_s,
        "restart_cold_s": cold.first_token_s,
        "restart_cached_tokens": warm.num_cached,
    }
