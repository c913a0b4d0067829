"""A container's memory limit: three models, room for two, and the kernel never has to kill."""

from __future__ import annotations

import asyncio
import contextlib
import random
from pathlib import Path

import httpx
import pytest
from psutil import Process

from tests.control_group import memory_group
from tests.fakes.hollow_gguf import HollowShape, write_hollow_gguf
from tests.serving import Server, serve

from .test_residency import MODELS, ask, loads

SHAPE = HollowShape(4, 2048, 32, 8, 8192, 32_000, context=2048, head_dim=64)
ROOM = 2.5  # models
NUM_IN_TURN, NUM_AT_ONCE = 12, 12
pytestmark = pytest.mark.timeout(300)


def register(home: Path) -> None:
    """Three models of some 400 MB of weights each in the user's own catalogue."""
    rows = []
    for name in MODELS:
        path = write_hollow_gguf(home / f"{name}.gguf", SHAPE, "Q8_0")
        rows.append(
            f'[models.{name}]\ntitle = "{name}"\nbundled = "{path}"\n'
            'chat_format = "hermes_chatml"\ncontext = 2048\n'
        )
    (home / "runner-home").mkdir(exist_ok=True)
    (home / "runner-home" / "models.toml").write_text("\n".join(rows))


def needs_bytes(server: Server) -> int:
    plans = httpx.get(f"{server.origin}/v1/plan", timeout=30).json()["models"]
    needed: int = max(plan["total_ram_bytes"] for plan in plans if plan["id"] in MODELS)
    return needed


def least_loads(order: list[str], room: int) -> int:
    """Loads of a cache of `room` models that drops the one not used for longest."""
    held: list[str] = []
    count = 0
    for model in order:
        if model in held:
            held.remove(model)
        else:
            count += 1
            held = held[-(room - 1) :] if len(held) == room else held
        held.append(model)
    return count


async def test_mix_over_three_models_is_served_within_a_limit_that_holds_two(
    tmp_path: Path,
) -> None:
    register(tmp_path)
    with serve(tmp_path) as server:
        each = needs_bytes(server)
        own = Process(server.process.pid).memory_info().rss
    chance = random.Random(5)
    in_turn = [chance.choice(MODELS) for _ in range(NUM_IN_TURN)]
    at_once = [chance.choice(MODELS) for _ in range(NUM_AT_ONCE)]
    with memory_group() as group, contextlib.ExitStack() as stack:
        group.limit(round(ROOM * each) + own)
        with group.holding():
            server = stack.enter_context(serve(tmp_path))
        async with httpx.AsyncClient(base_url=server.origin, timeout=120) as http:
            assert [await ask(http, model) for model in in_turn] == [200] * NUM_IN_TURN
            assert sum(loads(server).values()) == least_loads(in_turn, 2)
            codes = await asyncio.gather(*(ask(http, model) for model in at_once))
            assert codes == [200] * NUM_AT_ONCE
        assert group.num_kills() == 0
    assert "SIGKILL" not in (tmp_path / "server.log").read_text()
