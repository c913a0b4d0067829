"""`runner import`: use a GGUF where it lies, or install an exported model without network.

Owns telling the two apart: an exported model is a folder.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer


def command(
    path: Annotated[Path, typer.Argument(help="A .gguf file, or a folder made by export.")],
    as_: Annotated[str | None, typer.Option("--as", help="The model id to give it.")] = None,
    json_: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Use weights that are already on disk, in place, without copying."""
    from runner.catalog import SPLIT_NAME
    from runner.hub import import_bundle

    from .weights import load_settings, open_library

    library = open_library(load_settings())
    if path.is_dir():
        lock = import_bundle(library, path)
        row = {"model_id": lock.model_id, "quantization": lock.quantization, "verified": True}
        text = f"{lock.model_id} {lock.quantization} is installed, every hash was checked"
    else:
        name = as_ or SPLIT_NAME.sub("", path.name).removesuffix(".gguf")
        one = library.imports.add(path, name, library.catalog_with_imports())
        row = {
            "model_id": one.id,
            "quantization": one.quantization,
            "verified": False,
            "chat_format": one.chat_format,
        }
        chat = one.chat_format or "its own template"
        text = f"{one.id} uses {path} in place ({one.quantization}, chat: {chat}; not verified)"
    typer.echo(json.dumps(row) if json_ else text)
