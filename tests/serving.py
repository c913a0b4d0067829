"""A real server in its own process, for tests that come in from outside."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx


@dataclass(frozen=True)
class Server:
    """A running server: its address, its process, its folders."""

    origin: str
    process: subprocess.Popen[str]
    home: Path

    @property
    def url(self) -> str:
        """The OpenAI base URL."""
        return f"{self.origin}/v1"

    def health(self) -> dict[str, object]:
        """What `/health` says."""
        body: dict[str, object] = httpx.get(f"{self.origin}/health", timeout=10).json()
        return body

    def stop(self) -> int:
        """SIGTERM, and the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=20)


@contextlib.contextmanager
def serve(home: Path, *arguments: str, **environment: str) -> Iterator[Server]:
    """`runner serve` on a free port with an empty home; gone afterwards."""
    clean = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
    folders = {
        "HOME": str(home),
        "RUNNER_HOME": str(home / "runner-home"),
        "HF_HOME": str(home / "hf-home"),
    }
    command = [sys.executable, "-m", "runner", "serve", "--port", "0", *arguments]
    log = (home / "server.log").open("w")
    process = subprocess.Popen(
        command,
        env={**clean, **folders, **environment},
        stdout=subprocess.PIPE,
        stderr=log,
        text=True,
        cwd=home,
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line.startswith("ready: "):
            raise RuntimeError((home / "server.log").read_text())
        origin = line.removeprefix("ready: ").strip().removesuffix("/v1")
        yield Server(origin, process, home)
    finally:
        if process.poll() is None:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=15)
            process.kill()
        process.wait()
        process.stdout.close()
        log.close()
