"""What is loaded: once only, again after a crash, and left alone after too many."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from runner.engine.messages import Load
from runner.errors import EngineLoadError
from runner.local.pool import COOL_DOWN_S, MAX_CRASHES, MAX_SYSTEM_KILLS, Order, Pool
from runner.local.process import EngineProcess


class Clock:
    """Time that passes when told to."""

    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


def make_pool(
    weights: Path,
    clock: Clock,
    capacity_bytes: int = 1 << 40,
    started: Callable[[Load, EngineProcess], None] = lambda _load, _engine: None,
) -> Pool:
    """A pool of real engines; `started` is told of each right after its birth."""

    async def plan(_model: str) -> Order:
        return Order(Load([str(weights)], 512, 2, 1024, 1), ram_bytes=100)

    async def start(load: Load) -> EngineProcess:
        engine = await EngineProcess.start(load, clock)
        started(load, engine)
        return engine

    return Pool(plan, clock=clock, capacity_bytes=lambda: capacity_bytes, start=start)


async def test_many_callers_share_one_load(tiny_weights: Path, clock: Clock) -> None:
    pool = make_pool(tiny_weights, clock)
    engines = await asyncio.gather(*(pool.engine("m") for _ in range(5)))
    assert len({engine.pid for engine in engines}) == 1
    await pool.aclose()


async def test_crashed_engine_is_replaced_by_a_new_child(tiny_weights: Path, clock: Clock) -> None:
    pool = make_pool(tiny_weights, clock)
    first = await pool.engine("m")
    first.kill()
    while pool.residency("m") == "ready":
        await asyncio.sleep(0.001)
    second = await pool.engine("m")
    assert second.pid != first.pid
    assert pool.residency("m") == "ready"
    await pool.aclose()


async def test_engine_that_met_an_illegal_instruction_comes_back_with_plain_kernels(
    tiny_weights: Path, clock: Clock
) -> None:
    orders: list[Load] = []
    pool = make_pool(tiny_weights, clock, started=lambda load, _engine: orders.append(load))
    for signum in (signal.SIGSEGV, signal.SIGILL, signal.SIGSEGV):
        os.kill((await pool.engine("m")).pid, signum)
        while pool.residency("m") == "ready":
            await asyncio.sleep(0.001)
    await pool.engine("m")
    assert [order.repack for order in orders] == [True, True, False, False]
    await pool.aclose()


async def test_illegal_instruction_while_loading_is_noted_too(
    tiny_weights: Path, clock: Clock
) -> None:
    orders: list[Load] = []

    def kill_the_first(load: Load, engine: EngineProcess) -> None:
        orders.append(load)
        if load.repack:
            os.kill(engine.pid, signal.SIGILL)

    pool = make_pool(tiny_weights, clock, started=kill_the_first)
    with pytest.raises(EngineLoadError, match="SIGILL"):
        await pool.engine("m")
    await pool.engine("m")
    assert [order.repack for order in orders] == [True, False]
    await pool.aclose()


async def test_model_that_keeps_failing_rests(tmp_path: Path, clock: Clock) -> None:
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"not a model")
    pool = make_pool(broken, clock)
    for _ in range(MAX_CRASHES):
        with pytest.raises(EngineLoadError, match="cannot load"):
            await pool.engine("m")
    assert pool.residency("m") == "failed"
    with pytest.raises(EngineLoadError, match="rests for a while"):
        await pool.engine("m")
    clock.now_s += COOL_DOWN_S + 1
    assert pool.residency("m") == "absent"
    await pool.aclose()


async def test_model_whose_engine_the_system_keeps_killing_is_restarted_three_times(
    tiny_weights: Path, clock: Clock
) -> None:
    pool = make_pool(tiny_weights, clock)
    for _ in range(MAX_SYSTEM_KILLS):
        engine = await pool.engine("m")
        os.kill(engine.pid, signal.SIGKILL)
        while pool.residency("m") == "ready":
            await asyncio.sleep(0.001)
    assert MAX_SYSTEM_KILLS == 1 + 3
    with pytest.raises(EngineLoadError, match="when memory runs out"):
        await pool.engine("m")
    assert pool.residency("m") == "failed"
    await pool.aclose()


async def test_closed_pool_loads_nothing(tiny_weights: Path, clock: Clock) -> None:
    pool = make_pool(tiny_weights, clock)
    await pool.aclose()
    with pytest.raises(EngineLoadError, match="shutting down"):
        await pool.engine("m")


async def test_model_in_use_is_never_unloaded_and_the_idle_one_gives_way(
    tiny_weights: Path, clock: Clock
) -> None:
    pool = make_pool(tiny_weights, clock, capacity_bytes=200)
    async with pool.use("busy"):
        clock.now_s += 1
        async with pool.use("idle"):
            pass
        async with pool.use("third"):
            assert pool.residency("busy") == "ready"
            assert pool.residency("idle") == "absent"
    await pool.aclose()


async def test_load_waits_until_a_busy_model_is_free(tiny_weights: Path, clock: Clock) -> None:
    pool = make_pool(tiny_weights, clock, capacity_bytes=100)
    async with pool.use("first"):
        second = asyncio.create_task(pool.engine("second"))
        await asyncio.sleep(0.05)
        assert not second.done()
    await second
    assert pool.residency("first") == "absent"
    await pool.aclose()


async def test_idle_model_is_unloaded_when_its_time_is_up(tiny_weights: Path, clock: Clock) -> None:
    pool = make_pool(tiny_weights, clock)
    async with pool.use("m", keep_alive_s=60):
        pass
    clock.now_s += 59
    engine = pool.resident("m")
    assert engine is not None and engine.engine is not None
    engine.engine._heard_s = clock.now_s
    await pool.tick()
    assert pool.residency("m") == "ready"
    clock.now_s += 1
    await pool.tick()
    assert pool.residency("m") == "absent"
    await pool.aclose()
