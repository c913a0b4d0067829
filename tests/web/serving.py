"""The page on a free port of this machine, beside a stub in a thread."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Iterator

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
