"""The page on a free port of this machine: beside a stub in a thread, or on the real server."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import uvicorn
from fastapi import FastAPI


@contextlib.contextmanager
def serve_app(app: FastAPI) -> Iterator[str]:
    """The address of the running application; it is gone afterwards."""
    listening = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(app, log_config=None, timeout_graceful_shutdown=2)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=asyncio.run, args=(_serve(server, listening),), daemon=True)
    thread.start()
    try:
        until_s = time.monotonic() + 10
        while not server.started:
            if time.monotonic() > until_s:
                raise RuntimeError("the application did not start")
            time.sleep(0.01)
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(timeout=10)
        listening.close()


async def _serve(server: uvicorn.Server, listening: socket.socket) -> None:
    await server.serve([listening])
    await asyncio.sleep(0.05)  # connections that are closing get to close


@contextlib.contextmanager
def serve_page(home: Path, *arguments: str) -> Iterator[str]:
    """The real server with the page on it, in its own process, with an empty home."""
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(Path(__file__).parents[2]),
        "HOME": str(home),
        "RUNNER_HOME": str(home / "runner-home"),
        "HF_HOME": str(home / "hf-home"),
    }
    command = [sys.executable, "-m", "tests.web.composed", "serve", "--port", "0", *arguments]
    with (
        (home / "server.log").open("w") as log,
        subprocess.Popen(
            command, env=environment, cwd=home, stdout=subprocess.PIPE, stderr=log, text=True
        ) as process,
    ):
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            if not line.startswith("ready: "):
                raise RuntimeError((home / "server.log").read_text())
            yield line.removeprefix("ready: ").strip().removesuffix("/v1")
        finally:
            process.terminate()
