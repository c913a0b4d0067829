"""`runner pull`: download, resume and verify weights.

Owns the terminal's side; what happens is the hub's.
"""

from __future__ import annotations

import sys
from typing import Annotated

import typer


def command(
    model: Annotated[str, typer.Argument(help="MODEL, MODEL:QUANT or hf.co/OWNER/REPO[:QUANT].")],
    json_: Annotated[bool, typer.Option("--json", help="Print JSON lines.")] = False,
    trust_hub: Annotated[
        bool, typer.Option("--trust-hub", help="Accept a hash that is not the catalogue's.")
    ] = False,
    offline: Annotated[bool | None, typer.Option("--offline", help="Stay offline.")] = None,
) -> None:
    """Download weights, or go on with a download; without QUANT the best that fits."""
    from runner.hub import in_words

    from .weights import follow, load_settings, open_library, open_planner, open_puller

    settings = load_settings(offline)
    library = open_library(settings)
    choose = open_planner(settings, library).choose
    try:
        events = open_puller(settings, library).pull(model, choose=choose, trust_hub=trust_hub)
        pulled = follow(events, as_json=json_)
    except KeyboardInterrupt:
        print("runner: stopped; what was fetched is kept, pull again to go on", file=sys.stderr)
        raise typer.Exit(1) from None
    if pulled is not None and not json_:
        typer.echo(in_words(pulled))
