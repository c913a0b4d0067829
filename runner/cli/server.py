"""Runs the web server in this process until it is told to stop.

Owns the event loop's setting up and tearing down, and the line that says the server is ready.
Imports the web framework, so it is imported by `serve` only when needed.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import typer
import uvicorn

from runner.api.app import create_app
from runner.config import Settings, load
from runner.errors import ConfigError
from runner.services import build

LOOPBACK = ("127.0.0.1", "localhost", "::1")


class Server(uvicorn.Server):
    """uvicorn that ends with exit code 0 when it is asked to stop, and says when it is ready."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """SIGINT and SIGTERM end the server; they are not raised again afterwards."""
        loop = asyncio.get_running_loop()
        for signum in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(signum, self.handle_exit, signum, None)
        yield

    async def startup(self, sockets: Any = None) -> None:
        """Bind, then say where."""
        await super().startup(sockets)
        if self.started:
            for server in self.servers:
                for listening in server.sockets:
                    host, port = listening.getsockname()[:2]
                    shown = f"[{host}]" if ":" in host else host
                    typer.echo(f"ready: http://{shown}:{port}/v1")


def run(flags: Mapping[str, Any], config_file: Path | None, models: tuple[str, ...]) -> None:
    """Serve until SIGINT or SIGTERM. Raises RunnerError when it cannot start."""
    settings = load(flags, config_file=config_file).settings
    check_address(settings)
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    for noisy in ("httpx", "httpcore", "uvicorn"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    asyncio.run(serve(settings, models))


async def serve(settings: Settings, models: tuple[str, ...]) -> None:
    """Load the models, then answer requests until told to stop."""
    services = build(settings)
    try:
        await services.start(models)
        server = settings.server
        config = uvicorn.Config(
            create_app(services),
            host=server.host,
            port=server.port,
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=int(server.stop_timeout_s),
            timeout_keep_alive=60,
        )
        await Server(config).serve()
    finally:
        await services.stop()


def check_address(settings: Settings) -> None:
    """Refuse to listen to the whole network without a key."""
    server = settings.server
    has_key = server.api_key is not None or bool(server.api_keys)
    if server.host in LOOPBACK or has_key or server.allow_open_network:
        return
    raise ConfigError(
        f"listening on {server.host} without an API key would let anyone on the network in; set "
        "--api-key, or server.allow_open_network = true if that is what you want"
    )
