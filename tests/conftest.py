"""What holds for every test: its own folders, a clean environment, and no way off this machine."""

from __future__ import annotations

import signal
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from runner.engine.messages import Load
from runner.local.process import EngineProcess

from .serving import Server, serve

# A shell that runs the tests in the background has SIGINT ignored, and children inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)
# Machines are shared, so no deadline; the same cases each time, and new ones to whoever asks for
# `--hypothesis-profile=exploring`.
hypothesis.settings.register_profile("steady", deadline=None, derandomize=True)
hypothesis.settings.register_profile("exploring", deadline=None)
hypothesis.settings.load_profile("steady")

DATA = Path(__file__).parents[1] / "runner" / "data"
SCRUBBED = (
    "RUNNER_",
    "HF_",
    "OPENROUTER_",
    "NOUS_",
    "NEBIUS_",
    "TOGETHER_",
    "DEEPINFRA_",
    "CHUTES_",
)


@pytest.fixture(autouse=True)
def own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test has its own state, cache and configuration folders, and no keys."""
    import os

    for name in list(os.environ):
        if name.startswith(SCRUBBED) or name.upper().endswith("_PROXY"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("RUNNER_HOME", str(tmp_path / "runner-home"))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf-home"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


@pytest.fixture(autouse=True)
def loopback_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection to anything but this machine fails the test."""
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: Any) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6):
            host = str(address[0])
            if host not in ("127.0.0.1", "::1", "localhost"):
                raise AssertionError(f"a test tried to connect to {host}")
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded)


@pytest.fixture(scope="session")
def tiny_weights() -> Path:
    """The bundled model."""
    return DATA / "hermes-tiny.gguf"


@pytest.fixture
async def start_engine(tiny_weights: Path) -> AsyncIterator[Callable[..., Any]]:
    """Start engine children that are gone after the test."""
    engines: list[EngineProcess] = []

    async def start(weights: Path = tiny_weights, **changes: Any) -> EngineProcess:
        order: dict[str, Any] = {
            "weights": [str(weights)],
            "context": 2048,
            "parallel": 8,
            "num_cells": 8192,
            "threads": 1,
        }
        engine = await EngineProcess.start(Load(**(order | changes)))
        engines.append(engine)
        await engine.wait_ready()
        return engine

    yield start
    for engine in engines:
        await engine.stop()


@pytest.fixture(scope="session")
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One real server for all tests that only talk to it."""
    with serve(tmp_path_factory.mktemp("server")) as server:
        yield server
