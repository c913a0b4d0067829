"""`runner remove`: delete weights.

Owns the question, which is asked on a terminal only.
"""

from __future__ import annotations

import json
import sys
from typing import Annotated

import typer


def command(
    model: Annotated[str, typer.Argument(help="MODEL or MODEL:QUANT.")],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    json_: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Delete weights; imported ones are only forgotten."""
    from runner.hub import size_text

    from .weights import load_settings, open_library

    library = open_library(load_settings())
    installed = library.require(model)
    what = f"{installed.model_id} {installed.quantization}"
    if sys.stdin.isatty() and not yes:
        typer.confirm(f"Delete {what} ({size_text(installed.size_bytes)})?", abort=True)
    freed = library.remove(installed)
    if json_:
        row = {"model_id": installed.model_id, "quantization": installed.quantization}
        typer.echo(json.dumps({**row, "freed_bytes": freed}))
    elif installed.source == "imported":
        typer.echo(f"{what} is forgotten; its files stay where they are")
    else:
        typer.echo(f"{what} is removed, {size_text(freed)} freed")
