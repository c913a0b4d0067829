"""Both servers as processes: started alike, warmed up, measured, stopped.

Owns command lines and process trees. Knows no workload. Invariant: whatever was started is gone
when its `async with` ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import psutil

from .client import Client

READY_TIMEOUT_S = 300.0
STOP_TIMEOUT_S = 30.0
MODEL, TWIN = "bench-model", "bench-twin"
WAITING_VARIABLES = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "OMP_NUM_THREADS")
Kind = Literal["ours", "reference"]
ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, slots=True)
class Setting:
    """What both servers are told: tokens of context for each of `parallel` requests, threads."""

    context: int
    parallel: int
    num_threads: int


@dataclass(frozen=True, slots=True)
class Contender:
    """One of the two servers: which kind, with which weights, and its own folder."""

    kind: Kind
    weights: Path
    folder: Path
    llama_server: Path | None

    def prepare(self, context: int) -> None:
        """Write down the weights under two names, so that two engines can be asked for."""
        self.folder.mkdir(parents=True, exist_ok=True)
        rows = [
            f'[models.{name}]\ntitle = "{name}"\nbundled = "{self.weights}"\n'
            f'chat_format = "hermes_chatml"\ncontext = {context}\n'
            for name in (MODEL, TWIN)
        ]
        (self.folder / "models.toml").write_text("\n".join(rows), encoding="utf-8")

    def command(self, port: int, setting: Setting, models: tuple[str, ...]) -> list[str]:
        """The command line. llama-server's context is the sum over its slots."""
        shared = ["--host", "127.0.0.1", "--port", str(port), "--threads", str(setting.num_threads)]
        if self.kind == "ours":
            own = ["--ctx", str(setting.context), "--parallel", str(setting.parallel), "--offline"]
            return [sys.executable, "-m", "runner", "serve", *models, *shared, *own]
        cells = str(setting.context * setting.parallel)
        own = ["-m", str(self.weights), "-c", cells, "-np", str(setting.parallel), "--no-webui"]
        return [str(self.llama_server), *shared, *own, "-fa", "auto", "--jinja", "--offline"]

    def environment(self, environ: Mapping[str, str]) -> dict[str, str]:
        """The user's own, without what would change how threads wait; ours gets its home."""
        kept = {name: value for name, value in environ.items() if name not in WAITING_VARIABLES}
        if self.kind == "ours":
            kept |= {"RUNNER_HOME": str(self.folder), "PYTHONPATH": str(ROOT)}
        return kept


@dataclass(frozen=True, slots=True)
class Running:
    """A server that answers."""

    client: Client
    process: subprocess.Popen[bytes]

    def memory_bytes(self) -> int:
        """Memory of the whole tree; pages that several processes map are counted once."""
        root = psutil.Process(self.process.pid)
        return sum(_share_bytes(one) for one in (root, *root.children(recursive=True)))


def _share_bytes(process: psutil.Process) -> int:
    with contextlib.suppress(psutil.Error, AttributeError):
        return int(process.memory_full_info().pss)
    return int(process.memory_info().rss)


@contextlib.asynccontextmanager
async def running(
    contender: Contender, setting: Setting, models: tuple[str, ...] = (MODEL,)
) -> AsyncIterator[Running]:
    """The server, started and warmed up by one request for each of its models."""
    contender.prepare(setting.context)
    port = free_port()
    log_path = contender.folder / f"{contender.kind}.log"
    with log_path.open("ab") as log:
        process = subprocess.Popen(
            contender.command(port, setting, models),
            cwd=contender.folder,
            env=contender.environment(os.environ),
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        await _until_ready(port, contender.kind, process, log_path)
        for model in models:
            await Client(port, model).chat([{"role": "user", "content": "warm"}], max_tokens=8)
        yield Running(Client(port, models[0]), process)
    finally:
        await asyncio.to_thread(stop, process)


def free_port() -> int:
    """A loopback port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def _until_ready(port: int, kind: Kind, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = asyncio.get_running_loop().time() + READY_TIMEOUT_S
    while asyncio.get_running_loop().time() < deadline:
        if process.poll() is not None:
            break
        if await asyncio.to_thread(_is_healthy, port):
            return
        await asyncio.sleep(0.1)
    tail = log.read_text(encoding="utf-8", errors="replace")[-2000:]
    raise SystemExit(f"the server ({kind}) did not get ready; its log ends with:\n{tail}")


def _is_healthy(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def stop(process: subprocess.Popen[bytes]) -> None:
    """Ask it to end; kill its whole session if it does not."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    try:
        process.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
