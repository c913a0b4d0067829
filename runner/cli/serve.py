"""`runner serve`: the API server.

Owns the server's life: settings from flags, the socket, readiness on one line, and an orderly
end on SIGTERM with exit code 0.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def command(
    models: Annotated[
        list[str] | None, typer.Argument(help="Models to load before saying ready.")
    ] = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on. [127.0.0.1]")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on. [8000]")] = None,
    api_key: Annotated[
        str | None, typer.Option(help="Key that clients have to send.", show_default=False)
    ] = None,
    offline: Annotated[
        bool | None, typer.Option("--offline", help="Open no outgoing connection at all.")
    ] = None,
    config: Annotated[Path | None, typer.Option(help="Settings file (runner.toml).")] = None,
    ctx: Annotated[int | None, typer.Option(help="Tokens of context for one request.")] = None,
    parallel: Annotated[int | None, typer.Option(help="Requests generated at once.")] = None,
    threads: Annotated[int | None, typer.Option(help="Threads for computing.")] = None,
    gpu_layers: Annotated[int | None, typer.Option(help="Layers on the GPU, -1 for all.")] = None,
    kv_type: Annotated[str | None, typer.Option(help="KV cache: f16, q8_0 or q4_0.")] = None,
) -> None:
    """Serve models behind an OpenAI-style API."""
    from .server import run

    flags = {
        "server.host": host,
        "server.port": port,
        "server.api_key": api_key,
        "offline": offline,
        "engine.context": ctx,
        "engine.parallel": parallel,
        "engine.threads": threads,
        "engine.gpu_layers": gpu_layers,
        "engine.kv_type": kv_type,
    }
    run(flags, config, tuple(models or ()))
