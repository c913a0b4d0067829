"""What is loaded: once only, again after a crash, and left alone after too many."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from runner.engine.messages import Load
from runner.errors import EngineLoadError
from runner.local.pool import COOL_DOWN_S, MAX_CRASHES, Pool


class Clock:
    """Time that passes when told to."""

    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


def make_pool(weights: Path, clock: Clock) -> Pool:
    async def plan(_model: str) -> Load:
        return Load([str(weights)], 512, 2, 1024, 1)

    return Pool(plan, clock=clock)


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


async def test_closed_pool_loads_nothing(tiny_weights: Path, clock: Clock) -> None:
    pool = make_pool(tiny_weights, clock)
    await pool.aclose()
    with pytest.raises(EngineLoadError, match="shutting down"):
        await pool.engine("m")
