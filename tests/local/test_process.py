"""One child as the parent sees it: its end, its environment, and what its streams learn."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any

import psutil
import pytest

from runner.engine.messages import Load, Output, Submit
from runner.errors import EngineCrashedError, EngineLoadError
from runner.local.process import EngineProcess, EngineRefusalError, child_environment
from runner.types import PromptPiece, SamplingParams
from tests.engine.asking import ask, chat_prompt

LONG = chat_prompt("count from 1 to 90")


async def test_killed_child_ends_every_stream_with_one_error(
    start_engine: Callable[..., Any],
) -> None:
    engine = await start_engine()
    endless = SamplingParams(ignore_eos=True)
    asked = [
        asyncio.create_task(ask(engine, LONG, max_tokens=2000, sampling=endless)) for _ in range(4)
    ]
    while engine.num_streams < 4:
        await asyncio.sleep(0)
    engine.kill(signal.SIGKILL)
    ends = await asyncio.gather(*asked, return_exceptions=True)
    assert all(isinstance(end, EngineCrashedError) for end in ends)
    assert "SIGKILL" in str(ends[0])
    assert engine.state == "dead"


async def test_dead_child_refuses_new_work(start_engine: Callable[..., Any]) -> None:
    engine = await start_engine()
    engine.kill()
    while engine.state != "dead":
        await asyncio.sleep(0.001)
    with pytest.raises(EngineCrashedError):
        await ask(engine, LONG)


async def test_closing_the_stream_frees_the_slot(start_engine: Callable[..., Any]) -> None:
    engine = await start_engine()
    endless = SamplingParams(ignore_eos=True)
    words = engine.generate(lambda i: Submit(i, [PromptPiece(LONG)], [], endless, None))
    async with aclosing(words):
        async for word in words:
            if isinstance(word, Output):
                break
    begun = time.monotonic()
    while engine.status is None or engine.status.is_busy:
        assert time.monotonic() - begun < 5
        await asyncio.sleep(0.005)


async def test_prompt_longer_than_the_context_is_refused_and_harms_nobody(
    start_engine: Callable[..., Any],
) -> None:
    engine = await start_engine()
    pid = engine.pid
    with pytest.raises(EngineRefusalError) as refusal:
        await ask(engine, "word " * 9000)
    assert refusal.value.kind == "context_length"
    assert refusal.value.numbers[1] == 2048
    assert (await ask(engine, LONG, max_tokens=3)).reason == "length"
    assert engine.pid == pid


async def test_unreadable_weights_are_a_load_error(tmp_path: Path) -> None:
    path = tmp_path / "broken.gguf"
    path.write_bytes(b"GGUF" + bytes(100))
    engine = await EngineProcess.start(Load([str(path)], 64, 1, 64, 1))
    with pytest.raises(EngineLoadError, match="cannot load"):
        await engine.wait_ready()
    await engine.stop()


async def test_stopped_child_leaves_no_process(start_engine: Callable[..., Any]) -> None:
    engine = await start_engine()
    await engine.stop()
    assert not psutil.pid_exists(engine.pid)


async def test_child_sees_no_secrets(
    start_engine: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENROUTER_API_KEY", "sk-or-canary")
    monkeypatch.setenv("HF_TOKEN", "hf_canary")
    assert "canary" not in repr(child_environment(os.environ))
    engine = await start_engine()
    assert "canary" not in repr(psutil.Process(engine.pid).environ())


@pytest.mark.skipif(sys.platform != "linux", reason="network namespaces are Linux's")
async def test_child_has_no_network(start_engine: Callable[..., Any]) -> None:
    engine = await start_engine()
    ours, theirs = (os.readlink(f"/proc/{pid}/ns/net") for pid in ("self", engine.pid))
    probe = subprocess.run(["unshare", "-Un", "true"], capture_output=True)
    if os.geteuid() != 0 and probe.returncode != 0:
        pytest.skip("this system allows no network namespaces")
    assert ours != theirs


def test_child_dies_with_its_parent(tiny_weights: Path) -> None:
    script = f"""
import asyncio, os
from runner.engine.messages import Load, Output, Submit
from runner.local.process import EngineProcess

async def main():
    engine = await EngineProcess.start(Load([{str(tiny_weights)!r}], 512, 2, 1024, 1))
    await engine.wait_ready()
    print(engine.pid, flush=True)
    os.kill(os.getpid(), 9)

asyncio.run(main())
"""
    parent = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    child = int(parent.stdout)
    deadline = time.monotonic() + 1.0
    while psutil.pid_exists(child) and psutil.Process(child).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline, "the child outlived its parent by a second"
        time.sleep(0.01)
