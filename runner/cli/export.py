"""`runner export`: write a model into a folder, to be imported where there is no network.

Owns the terminal's side only.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer


def command(
    model: Annotated[str, typer.Argument(help="MODEL or MODEL:QUANT.")],
    folder: Annotated[Path, typer.Argument(help="The folder to write.")],
    json_: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Write weights, catalogue row and hashes into a folder."""
    from runner.hub import export_bundle, size_text

    from .weights import load_settings, open_library

    library = open_library(load_settings())
    lock = export_bundle(library, library.require(model), folder)
    if json_:
        typer.echo(lock.model_dump_json())
        return
    size = size_text(sum(file.size_bytes for file in lock.files))
    typer.echo(f"{lock.model_id} {lock.quantization} ({size}) is in {folder}")
    typer.echo(f"on the other machine: runner import {json.dumps(str(folder))}")
