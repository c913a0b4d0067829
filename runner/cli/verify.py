"""`runner verify`: re-hash weights, and mend them if asked.

Owns the terminal's side and the exit code: 1 if anything is damaged and stays so.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from runner.hub import Installed, Puller, Verdict


def command(
    model: Annotated[str | None, typer.Argument(help="One model; all if not given.")] = None,
    repair: Annotated[bool, typer.Option("--repair", help="Fetch again what is damaged.")] = False,
    json_: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    offline: Annotated[bool | None, typer.Option("--offline", help="Stay offline.")] = None,
) -> None:
    """Hash installed weights again and compare with the catalogue or the Hub."""
    from runner.hub import verify

    from .weights import load_settings, open_library, open_puller

    settings = load_settings(offline)
    library = open_library(settings)
    puller = open_puller(settings, library)
    chosen = [library.require(model)] if model else library.installed()
    rows: list[dict[str, Any]] = []
    for installed in chosen:
        verdicts = verify(library, installed)
        is_damaged = any(one.state in ("damaged", "unreadable") for one in verdicts)
        is_mended = is_damaged and repair and _mend(puller, installed, verdicts, json_)
        rows += [_describe(installed, one, is_mended) for one in verdicts]
        if not json_:
            for row in rows[-len(verdicts) :]:
                typer.echo(f"{row['state']:<10} {row['model_id']}  {row['path']}  {row['detail']}")
    if json_:
        typer.echo(json.dumps(rows))
    if any(row["state"] in ("damaged", "unreadable") for row in rows):
        raise typer.Exit(1)


def _mend(puller: Puller, installed: Installed, verdicts: list[Verdict], as_json: bool) -> bool:
    from .weights import follow

    events = puller.repair(installed, verdicts)
    if as_json:
        return bool(list(events))
    return follow(events, as_json=False) is not None


def _describe(installed: Installed, verdict: Verdict, is_mended: bool) -> dict[str, Any]:
    was_bad = verdict.state in ("damaged", "unreadable")
    return {
        "model_id": installed.model_id,
        "quantization": installed.quantization,
        "path": str(verdict.path),
        "state": "repaired" if was_bad and is_mended else verdict.state,
        "hash": verdict.etag,
        "detail": verdict.detail,
    }
