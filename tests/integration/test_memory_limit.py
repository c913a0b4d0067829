"""A container's memory limit: three models, room for two, and the kernel never has to kill."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from psutil import Process

from tests.fakes.hollow_gguf import HollowShape, write_hollow_gguf
from tests.serving import Server, serve

from .test_residency import MODELS, ask, loads

VERSION_1, VERSION_2 = Path("/sys/fs/cgroup/memory"), Path("/sys/fs/cgroup")
SHAPE = HollowShape(4, 2048, 32, 8, 8192, 32_000, context=2048, head_dim=64)
ROOM = 2.5  # models
NUM_IN_TURN, NUM_AT_ONCE = 12, 12
pytestmark = pytest.mark.timeout(300)


@dataclass(frozen=True)
class Group:
    """A control group of this test alone, of either version."""

    folder: Path
    is_version_1: bool

    def limit(self, size_bytes: int) -> None:
        name = "memory.limit_in_bytes" if self.is_version_1 else "memory.max"
        (self.folder / name).write_text(str(size_bytes))

    @contextmanager
    def holding(self) -> Iterator[None]:
        """Processes that are started inside belong to the group; this one does not stay."""
        (self.folder / "cgroup.procs").write_text(str(os.getpid()))
        try:
            yield
        finally:
            (self.folder.parent / "cgroup.procs").write_text(str(os.getpid()))

    def num_kills(self) -> int:
        name = "memory.oom_control" if self.is_version_1 else "memory.events"
        lines = (self.folder / name).read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("oom_kill "))


@pytest.fixture
def group() -> Iterator[Group]:
    """A new group that this process may limit; skips where the system allows none."""
    is_version_1 = (VERSION_1 / "memory.limit_in_bytes").exists()
    home = VERSION_1 if is_version_1 else VERSION_2
    folder = home / f"runner-test-{os.getpid()}"
    try:
        folder.mkdir()
        made = Group(folder, is_version_1)
        made.limit(64 * 2**30)
    except OSError as error:
        if folder.is_dir():
            folder.rmdir()
        pytest.skip(f"no memory control group can be made here: {error}")
    yield made
    folder.rmdir()


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
    tmp_path: Path, group: Group
) -> None:
    register(tmp_path)
    with serve(tmp_path) as server:
        each = needs_bytes(server)
        own = Process(server.process.pid).memory_info().rss
    group.limit(round(ROOM * each) + own)
    chance = random.Random(5)
    in_turn = [chance.choice(MODELS) for _ in range(NUM_IN_TURN)]
    at_once = [chance.choice(MODELS) for _ in range(NUM_AT_ONCE)]
    with contextlib.ExitStack() as stack:
        with group.holding():
            server = stack.enter_context(serve(tmp_path))
        async with httpx.AsyncClient(base_url=server.origin, timeout=120) as http:
            assert [await ask(http, model) for model in in_turn] == [200] * NUM_IN_TURN
            assert sum(loads(server).values()) == least_loads(in_turn, 2)
            codes = await asyncio.gather(*(ask(http, model) for model in at_once))
            assert codes == [200] * NUM_AT_ONCE
        assert group.num_kills() == 0
    assert "SIGKILL" not in (tmp_path / "server.log").read_text()
