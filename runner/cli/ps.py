"""`runner ps`: what a running server has loaded.

Owns the table; asks the server at the configured address, which is this machine.
"""

from __future__ import annotations

from typing import Annotated

import typer


def command(
    host: Annotated[str | None, typer.Option(help="Address of the server. [127.0.0.1]")] = None,
    port: Annotated[int | None, typer.Option(help="Port of the server. [8000]")] = None,
    json_: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show what a running server has loaded."""
    import json

    import httpx

    from runner.config import load
    from runner.errors import RunnerError

    server = load({"server.host": host, "server.port": port}).settings.server
    url = f"http://{server.host}:{server.port}/health"
    try:
        with httpx.Client(trust_env=False, timeout=5) as client:
            health = client.get(url).json()
    except (httpx.HTTPError, ValueError):
        raise RunnerError(f"no server answers at {url}; start one with: runner serve") from None
    if json_:
        typer.echo(json.dumps(health))
        return
    if not health["engines"]:
        typer.echo("nothing is loaded; models load on first use")
    for engine in health["engines"]:
        cells = engine.get("cells", {})
        typer.echo(
            f"{engine['model']}  pid {engine.get('pid', '?')}  "
            f"running {engine.get('running', 0)}  waiting {engine.get('waiting', 0)}  "
            f"cells {cells.get('live', 0)} live, {cells.get('cached', 0)} cached, "
            f"{cells.get('free', 0)} free  {engine.get('tokens_per_second', 0)} tokens/s"
        )
