"""Machines that are not idle: beside a busy core, beside another llama.cpp, and two models at once.

Owns the programs that keep the cores busy; they end with the workload.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from statistics import median

from bench.client import Client, Reply
from bench.measure import steady_tok_s
from bench.server import (
    MODEL,
    ROOT,
    TWIN,
    WAITING_VARIABLES,
    Contender,
    Running,
    running,
    stop,
)

from .task import Figures, Task, ask

CONTEXT = 1024
NUM_TURNS = 3
TURNS_FILE = "turns.lock"  # of `runner.local.planning`, in the state folder
SPIN = "while True: pass"


async def run_beside_core(task: Task) -> Figures:
    """Decode speed of one stream while another program keeps one core busy."""
    setting, spinning = task.setting(CONTEXT, 1), [sys.executable, "-c", SPIN]
    async with running(task.contender, setting) as server, _busy(spinning):
        reply = await _ask(server.client, task)
    return {"busy_core_tok_s": reply.decode_tok_s}


async def run_beside_llama(task: Task) -> Figures:
    """Decode speed of one stream while another llama.cpp process decodes on as many threads."""
    other = [sys.executable, "-m", "bench.bare", str(task.contender.weights)]
    other += ["--threads", str(task.num_threads), "--forever"]
    setting = task.setting(CONTEXT, 1)
    async with running(task.contender, setting) as server, _busy(other, ready_line=True):
        reply = await _ask(server.client, task)
    return {"busy_llama_tok_s": reply.decode_tok_s}


async def run_pair(task: Task) -> Figures:
    """One of two loaded models alone, then both at once; the reference needs two servers.

    Alone and together take turns, so that a machine that drifts drifts for both.
    """
    figures: dict[str, list[float]] = {"pair_alone_tok_s": [], "pair_both_tok_s": []}
    walls_s: list[float] = []
    async with contextlib.AsyncExitStack() as stack:
        clients = await _two_models(stack, task)
        for turn in range(NUM_TURNS):
            alone = await _ask(clients[0], task, f"alone {turn}")
            figures["pair_alone_tok_s"].append(alone.decode_tok_s)
            begun_s = time.monotonic()
            both = await asyncio.gather(*(_ask(one, task, f"both {turn}") for one in clients))
            walls_s.append(time.monotonic() - begun_s)
            figures["pair_both_tok_s"].append(steady_tok_s(both))
    found = {name: median(values) for name, values in figures.items()}
    found["pair_wall_s"] = median(walls_s)
    return found | (await _cost_of_turns(task) if task.contender.kind == "ours" else {})


async def _cost_of_turns(task: Task) -> Figures:
    """One model that takes turns with nobody, beside the same engine without turn-taking.

    Both are loaded at once and asked one after the other, each first as often as second.
    """
    setting = task.setting(CONTEXT, 1)
    free = replace(task.contender, folder=task.contender.folder / "free")
    _forbid_turns(free)
    speeds: dict[str, list[float]] = {"turn_alone_tok_s": [], "turn_free_tok_s": []}
    async with running(task.contender, setting) as own, running(free, setting) as other:
        order = list(zip(speeds, (own.client, other.client), strict=True))
        for turn in range(2 * NUM_TURNS):
            for name, client in order if turn % 2 else reversed(order):
                reply = await _ask(client, task, f"{name} {turn}")
                speeds[name].append(reply.decode_tok_s)
    return {name: median(values) for name, values in speeds.items()}


def _forbid_turns(contender: Contender) -> None:
    """A folder where the lock file should be: an engine that cannot open it takes no turns."""
    (contender.folder / TURNS_FILE).mkdir(parents=True, exist_ok=True)


async def _two_models(stack: contextlib.AsyncExitStack, task: Task) -> list[Client]:
    setting = task.setting(CONTEXT, 1)
    if task.contender.kind == "ours":
        server = await stack.enter_async_context(running(task.contender, setting, (MODEL, TWIN)))
        return [server.client, Client(server.client.port, TWIN)]
    twin = replace(task.contender, folder=task.contender.folder / "twin")
    servers: list[Running] = [
        await stack.enter_async_context(running(one, setting)) for one in (task.contender, twin)
    ]
    return [server.client for server in servers]


async def _ask(client: Client, task: Task, name: str = "") -> Reply:
    messages = ask(task.text(task.scale.prompt, name))
    return await client.chat(messages, max_tokens=task.scale.output // 2)


@contextlib.asynccontextmanager
async def _busy(command: list[str], *, ready_line: bool = False) -> AsyncIterator[None]:
    """A program that runs meanwhile; with `ready_line` only once it has said a first line."""
    environ = {key: value for key, value in os.environ.items() if key not in WAITING_VARIABLES}
    process = subprocess.Popen(
        command, cwd=ROOT, env=environ, stdout=subprocess.PIPE, start_new_session=True
    )
    assert process.stdout is not None
    try:
        if ready_line:
            await asyncio.to_thread(process.stdout.readline)
        yield
    finally:
        await asyncio.to_thread(stop, process)
        process.stdout.close()
