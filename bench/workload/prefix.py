"""Agents of one kind: one long system prompt, many short questions, several at a time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

from bench.server import Running, running

from .task import Figures, Task, ask, rounded

QUESTION = 16


async def run(task: Task) -> Figures:
    """Wall time of all requests; the server has never seen the system prompt before."""
    scale = task.scale
    setting = task.setting(
        rounded(scale.prefix + QUESTION + scale.agent_output + 64), scale.num_agents
    )
    async with running(task.contender, setting) as server:
        system = task.text(scale.prefix, "system")
        questions = iter(range(scale.num_agent_requests))
        begun_s = time.monotonic()
        workers = [_serve(server, task, system, questions) for _ in range(scale.num_agents)]
        done = await asyncio.gather(*workers)
        wall_s = time.monotonic() - begun_s
    first_s = sorted(reply for replies in done for reply in replies)
    return {"prefix_wall_s": wall_s, "prefix_first_token_s": first_s[len(first_s) // 2]}


async def _serve(server: Running, task: Task, system: str, questions: Iterator[int]) -> list[float]:
    """One agent: takes the next question as soon as it has its answer."""
    first_s = []
    for number in questions:
        messages = ask(task.text(QUESTION, number), system)
        reply = await server.client.chat(messages, max_tokens=task.scale.agent_output)
        first_s.append(reply.first_token_s)
    return first_s
