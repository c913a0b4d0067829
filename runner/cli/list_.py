"""`runner list`: what is installed, and what the catalogue offers.

Owns the table only.
"""

from __future__ import annotations

from typing import Annotated

import typer


def command(
    json_: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List models: those on this machine first."""
    import json

    from runner.config import load
    from runner.services import build

    services = build(load().settings)
    installed = {one.model_id for one in services.shelf.installed()}
    rows = [
        {
            "id": entry.id,
            "installed": entry.id in installed,
            "context": entry.context,
            "license": entry.license,
            "capabilities": list(entry.capabilities),
        }
        for entry in services.catalog
    ]
    rows.sort(key=lambda row: not row["installed"])
    if json_:
        typer.echo(json.dumps(rows))
        return
    width = max(len(str(row["id"])) for row in rows)
    for row in rows:
        mark = "installed" if row["installed"] else "-"
        context = f"{row['context']:>7}" if row["context"] else "      ?"
        typer.echo(f"{row['id']:<{width}}  {mark:<9}  context {context}  {row['license'] or '?'}")
