"""A dying or hanging engine is a pause in the stream, not its end."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import openai
import psutil
import pytest

from tests.integration.test_streams import PROMPTS, client, engine_figures, stream
from tests.serving import Server, serve

ENDLESS: dict[str, Any] = {"extra_body": {"ignore_eos": True}, "max_tokens": 150}
SLACK_DESCRIPTORS = 4  # a connection of a client may still be closing
SLACK_BYTES = 24 * 2**20  # however many cycles there are
NUM_CYCLES = int(os.environ.get("RUNNER_TEST_CRASHES", "2"))


@dataclass(frozen=True)
class Footprint:
    """What a server process holds on to when nobody asks it anything."""

    num_descriptors: int
    memory_bytes: int
    num_children: int

    @classmethod
    def of(cls, process: psutil.Process) -> Footprint:
        """As it is now; a child that nobody waited for counts among the children."""
        memory = process.memory_info().rss
        return cls(process.num_fds(), memory, len(process.children()))

    def assert_no_larger(self, later: Footprint) -> None:
        assert later.num_children <= 1
        assert later.num_descriptors <= self.num_descriptors + SLACK_DESCRIPTORS
        assert later.memory_bytes <= self.memory_bytes + SLACK_BYTES


async def answers(api: openai.AsyncOpenAI, arrivals: list[float]) -> list[str]:
    """What all prompts are answered at once; their pieces are counted in `arrivals`."""
    streams = (stream(api, item, arrivals=arrivals, **ENDLESS) for item in PROMPTS)
    return [text for text, _ in await asyncio.gather(*streams)]


async def strike(
    server: Server, signum: int, arrivals: list[float], count: int, struck: set[int]
) -> None:
    """Send an engine that was not struck before a signal once that many pieces came."""
    async with asyncio.timeout(20):
        while (pid := engine_figures(server, "hermes-tiny").get("pid")) in {None, *struck}:
            await asyncio.sleep(0.01)
        while len(arrivals) < count:
            await asyncio.sleep(0.001)
    os.kill(pid, signum)
    struck.add(pid)


@pytest.mark.timeout(60 + 20 * NUM_CYCLES)
@pytest.mark.parametrize(
    "signum", [signal.SIGKILL, signal.SIGSTOP, signal.SIGABRT, signal.SIGSEGV, signal.SIGBUS]
)
async def test_streams_survive_an_engine_that_dies_or_hangs(tmp_path: Path, signum: int) -> None:
    chance = random.Random(signum)
    with serve(tmp_path, "hermes-tiny") as server:
        parent = psutil.Process(server.process.pid)
        async with client(server) as api:
            undisturbed: list[float] = []
            expected = await answers(api, undisturbed)
            calm = Footprint.of(parent)
            struck: set[int] = set()
            for cycle in range(NUM_CYCLES):
                arrivals: list[float] = []
                count = chance.randrange(len(undisturbed) // 2)
                found, _ = await asyncio.gather(
                    answers(api, arrivals), strike(server, signum, arrivals, count, struck)
                )
                assert found == expected
                if cycle == 0:
                    calm = Footprint.of(parent)
        assert len(struck) == NUM_CYCLES
        calm.assert_no_larger(Footprint.of(parent))
    reason = "no sign of life" if signum == signal.SIGSTOP else f"signal {signum:d} "
    assert (tmp_path / "server.log").read_text().count(reason) >= NUM_CYCLES


async def test_request_that_sees_two_engines_die_is_refused_and_others_are_not(
    tmp_path: Path,
) -> None:
    with serve(tmp_path, "hermes-tiny") as server:
        body: dict[str, Any] = {
            "model": "hermes-tiny",
            "ignore_eos": True,
            "max_tokens": 1800,
            "messages": [{"role": "user", "content": "count from 1 to 9"}],
        }
        async with httpx.AsyncClient(base_url=server.origin, timeout=30) as http:
            asked = asyncio.create_task(http.post("/v1/chat/completions", json=body))
            pids: set[int] = set()
            while not asked.done():
                figures = engine_figures(server, "hermes-tiny")
                if figures.get("running") and figures["pid"] not in pids:
                    pids.add(figures["pid"])
                    os.kill(figures["pid"], signal.SIGKILL)
                await asyncio.sleep(0.02)
            answer = await asked
            assert answer.status_code == 503
            assert answer.json()["error"]["code"] == "engine_crashed"
            assert "twice" in answer.json()["error"]["message"]
            assert len(pids) == 2
            again = await http.post("/v1/chat/completions", json=body)
            assert again.status_code == 503
        async with client(server) as api:
            assert (await stream(api, PROMPTS[0]))[0]
