"""`runner show`: all facts of one model.

Owns the layout; the facts are the catalogue's and those of the installed files.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from runner.catalog import Entry
    from runner.hub import Installed


def command(
    model: Annotated[str, typer.Argument(help="The model.")],
    json_: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show what is known of a model and what of it is installed."""
    from .weights import load_settings, open_library

    library = open_library(load_settings())
    reference, _ = library.resolve(model)
    entry = reference.entry
    installed = [one for one in library.installed() if one.model_id == entry.id]
    facts = describe(entry, installed)
    if json_:
        typer.echo(json.dumps(facts))
        return
    for line in lines(facts):
        typer.echo(line)


def describe(entry: Entry, installed: list[Installed]) -> dict[str, Any]:
    """All facts as JSON."""
    facts = entry.model_dump(mode="json", exclude_none=True)
    facts["names"] = list(dict.fromkeys(entry.names()))
    facts["installed"] = [
        {
            "quantization": one.quantization,
            "size_bytes": one.size_bytes,
            "verified": one.verified,
            "source": one.source,
            "paths": [str(path) for path in one.paths],
        }
        for one in installed
    ]
    return facts


def lines(facts: dict[str, Any]) -> list[str]:
    """The same for people."""
    from runner.hub import size_text

    shown = [f"{facts['id']}  ({facts['title']})"]
    for key in ("upstream", "base", "license", "released", "context", "chat_format", "note"):
        if facts.get(key):
            shown.append(f"  {key.replace('_', ' '):<12} {facts[key]}")
    if facts.get("num_parameters"):
        shown.append(f"  {'parameters':<12} {facts['num_parameters'] / 1e9:.1f} billion")
    if facts["capabilities"]:
        shown.append(f"  {'can do':<12} {', '.join(facts['capabilities'])}")
    shown.append(f"  {'names':<12} {', '.join(facts['names'])}")
    shown.append("installed:" if facts["installed"] else "not installed")
    for one in facts["installed"]:
        proof = "verified" if one["verified"] else "NOT VERIFIED"
        size = size_text(one["size_bytes"])
        shown.append(f"  {one['quantization']:<10} {size:>9}  {proof}  {one['paths'][0]}")
    shown += _offered(facts)
    return shown


def _offered(facts: dict[str, Any]) -> list[str]:
    shown = ["known files:"] if facts["files"] else []
    for file in facts["files"]:
        if file["shard"] > 1:
            continue
        size = f"{file['size_bytes'] / 1e9:.2f} GB" if "size_bytes" in file else "size unknown"
        if "about_gb" in file:
            size = f"about {file['about_gb']} GB"
        parts = f" ({file['num_shards']} files)" if file["num_shards"] > 1 else ""
        shown.append(f"  {file['quantization']:<10} {size:>14}  {file['repo']}{parts}")
    live = [offer for offer in facts["hosted"] if offer["live"]]
    shown += ["hosted:"] if live else []
    for offer in live:
        price = "price unknown"
        if "prompt_usd_per_mtok" in offer:
            pair = f"{offer['prompt_usd_per_mtok']:g} / {offer['completion_usd_per_mtok']:g}"
            price = f"${pair} per million tokens ({offer['as_of']})"
        shown.append(f"  {offer['provider']:<12} {offer['id']}  {price}")
    return shown
