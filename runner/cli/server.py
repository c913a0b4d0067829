"""Runs the web server in this process until it is told to stop.

Owns the event loop's setting up and tearing down, and the line that says the server is ready.
Imports the web framework, so it is imported by `serve` only when needed. Invariant: once told to
stop it is gone within the time that open answers are given and two seconds, with exit code 0.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import signal
import socket
from collections.abc import Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import typer
import uvicorn

from runner.api.app import create_app
from runner.api.connection import Connection
from runner.api.limits import MAX_HEADER_BYTES, Gate, is_loopback
from runner.api.reception import Reception
from runner.config import Settings, load
from runner.errors import ConfigError
from runner.services import build
from runner.web import web_router

MAX_OPEN_FILES = 65536  # a connection is one; some systems start with 256
BACKLOG = 4096  # connections that may wait in the kernel
POLL_S = 0.05
LAST_WORDS_S = 1  # for answers that were cut off to say so


class Server(uvicorn.Server):
    """uvicorn that says when it is ready, and that stops in an orderly way with exit code 0.

    Asked to stop, it goes on listening so that new requests can be told, gives open answers
    `stop_timeout_s`, then calls `stop`, which ends the ones that are left with an error of theirs.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        gate: Gate,
        stop: Callable[[], Awaitable[None]],
        stop_timeout_s: float,
    ) -> None:
        super().__init__(config)
        self._gate = gate
        self._stop = stop
        self._stop_timeout_s = stop_timeout_s
        self._doors: list[tuple[socket.socket, Reception]] = []

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """SIGINT and SIGTERM end the server; they are not raised again afterwards."""
        loop = asyncio.get_running_loop()
        for signum in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(signum, self.handle_exit, signum, None)
        yield

    async def startup(self, sockets: Any = None) -> None:
        """Bind, open our own door in front of uvicorn's, then say where."""
        await super().startup(sockets)
        if self.started:
            for server in self.servers:
                for listening in server.sockets:
                    asyncio.get_running_loop().remove_reader(listening.fileno())
                    door = socket.socket(fileno=os.dup(listening.fileno()))
                    self._doors.append((door, Reception(door, self._welcome)))
                    host, port = listening.getsockname()[:2]
                    shown = f"[{host}]" if ":" in host else host
                    typer.echo(f"ready: http://{shown}:{port}/v1")

    def _welcome(self) -> asyncio.Protocol:
        return Connection(self.config, self.server_state, self.lifespan.state)

    async def shutdown(self, sockets: Any = None) -> None:
        """Take nothing new, let what is open end, then close."""
        self._gate.is_stopping = True
        await self._wait_idle(self._stop_timeout_s)
        await self._stop()
        await self._wait_idle(LAST_WORDS_S)
        for door, reception in self._doors:
            reception.close()
            door.close()
        await super().shutdown(sockets)

    async def _wait_idle(self, timeout_s: float) -> None:
        loop = asyncio.get_running_loop()
        deadline_s = loop.time() + timeout_s
        while self._gate.num_open and loop.time() < deadline_s and not self.force_exit:
            await asyncio.sleep(POLL_S)


def run(flags: Mapping[str, Any], config_file: Path | None, models: tuple[str, ...]) -> None:
    """Serve until SIGINT or SIGTERM. Raises RunnerError when it cannot start."""
    settings = load(flags, config_file=config_file).settings
    check_address(settings)
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    for noisy in ("httpx", "httpx2", "httpcore", "uvicorn"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    allow_open_files()
    asyncio.run(serve(settings, models))


async def serve(settings: Settings, models: tuple[str, ...]) -> None:
    """Load the models, then answer requests until told to stop."""
    services = build(settings)
    try:
        await services.start(models)
        server = settings.server
        app = create_app(services)
        app.include_router(web_router())
        gc.freeze()  # what is there now stays: no collection needs to look at it again
        config = uvicorn.Config(
            app,
            host=server.host,
            port=server.port,
            log_config=None,
            access_log=False,
            server_header=False,
            http=Connection,
            ws="none",
            backlog=BACKLOG,
            h11_max_incomplete_event_size=MAX_HEADER_BYTES,
            timeout_graceful_shutdown=LAST_WORDS_S,
            timeout_keep_alive=60,
        )
        await Server(config, app.state.gate, services.stop, server.stop_timeout_s).serve()
    finally:
        await services.stop()


def check_address(settings: Settings) -> None:
    """Refuse to listen to the whole network without a key."""
    server = settings.server
    has_key = server.api_key is not None or bool(server.api_keys)
    if is_loopback(server.host) or has_key or server.allow_open_network:
        return
    raise ConfigError(
        f"listening on {server.host} without an API key would let anyone on the network in; set "
        "--api-key, or server.allow_open_network = true if that is what you want"
    )


def allow_open_files() -> None:
    """Raise the limit of open files as far as the system lets us, where it has one."""
    try:
        import resource
    except ImportError:
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MAX_OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, MAX_OPEN_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
