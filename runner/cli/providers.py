"""`runner providers`: who could answer elsewhere, how they have been doing, and at what price.

Owns the table and the report of a refresh. The table asks nobody; `refresh` is the only thing
that goes out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from runner.config import Settings
    from runner.hosted import HostedBackend
    from runner.hosted.refresh import Refreshed

app = typer.Typer(help="Show hosted providers: availability, health and prices.")
JSON_OPTION = typer.Option("--json", help="Print JSON.")


@app.callback(invoke_without_command=True)
def show(context: typer.Context, json_: Annotated[bool, JSON_OPTION] = False) -> None:
    """Show every provider; asks nobody."""
    if context.invoked_subcommand is not None:
        return
    import json

    from runner.config import load

    rows = _rows(load().settings)
    if json_:
        typer.echo(json.dumps(rows))
        return
    for line in _table(rows):
        typer.echo(line)


@app.command("refresh")
def refresh_command(json_: Annotated[bool, JSON_OPTION] = False) -> None:
    """Ask every provider with a key for today's models and prices, and report what changed."""
    import asyncio
    import json

    from runner.config import load

    settings = load().settings
    answers = asyncio.run(_refresh(settings))
    if json_:
        typer.echo(json.dumps([_refreshed_json(one) for one in answers]))
    else:
        for one in answers:
            for line in _report(one):
                typer.echo(line)
    if answers and all(one.trouble for one in answers):
        raise typer.Exit(1)


async def _refresh(settings: Settings) -> list[Refreshed]:
    import asyncio
    import os
    from datetime import UTC, datetime

    from runner.catalog import load as load_catalog
    from runner.egress import Egress
    from runner.hosted import build_providers, with_refreshed
    from runner.hosted.refresh import refresh
    from runner.hosted.snapshot import save

    catalog = load_catalog((settings.state_dir / "models.toml",))
    catalog = with_refreshed(catalog, settings.state_dir)
    egress = Egress(offline=settings.offline)
    egress.check("runner providers refresh")
    asked = [
        one
        for one in build_providers(settings.providers, os.environ)
        if one.missing() is None or one.name == "openrouter"  # its list needs no key
    ]
    today = datetime.now(UTC).date()
    answers = await asyncio.gather(*(refresh(one, catalog, egress, today) for one in asked))
    save(settings.state_dir, [offer for one in answers for offer in one.offers])
    return list(answers)


def _rows(settings: Settings) -> list[dict[str, Any]]:
    import os
    import time

    from runner.catalog import load as load_catalog
    from runner.egress import Egress
    from runner.hosted import House, build_backends, with_refreshed
    from runner.ledger import Budget, Ledger

    catalog = load_catalog((settings.state_dir / "models.toml",))
    catalog = with_refreshed(catalog, settings.state_dir)
    ledger = Ledger.open(settings.state_dir, Budget.of(settings.budget))
    try:
        egress = Egress(offline=settings.offline)
        house = House(catalog, settings.hosted, egress, ledger, time.monotonic)
        backends = build_backends(settings.providers, os.environ, house)
        models = [entry.id for entry in catalog]
        return [_row(backend, models) for backend in backends]
    finally:
        ledger.close()


def _row(backend: HostedBackend, models: list[str]) -> dict[str, Any]:
    health = backend.health
    provider = backend.provider
    offers = [(model, backend.offer(model)) for model in models]
    return {
        "provider": backend.name,
        "base_url": provider.base_url,
        "trouble": provider.missing() or health.trouble,
        "success_rate": health.success_rate,
        "first_token_s": health.first_token_s,
        "tokens_per_s": health.tokens_per_s,
        "num_samples": health.num_samples,
        "models": [
            {
                "model": model,
                "id": offer.id,
                "live": offer.live,
                "prompt_usd_per_mtok": offer.prompt_usd_per_mtok,
                "completion_usd_per_mtok": offer.completion_usd_per_mtok,
                "as_of": offer.as_of.isoformat() if offer.as_of else None,
            }
            for model, offer in offers
            if offer is not None
        ],
    }


def _table(rows: list[dict[str, Any]]) -> list[str]:
    lines = []
    for row in rows:
        rate = "-" if row["success_rate"] is None else f"{row['success_rate']:.0%}"
        first = "-" if row["first_token_s"] is None else f"{row['first_token_s']:.2f} s"
        speed = "-" if row["tokens_per_s"] is None else f"{row['tokens_per_s']:.0f} tok/s"
        state = row["trouble"] or "ready"
        lines.append(
            f"{row['provider']:<12} ok {rate:>5}  first token {first:>8}  {speed:>10}  {state}"
        )
        lines += [_model_line(model) for model in row["models"]]
    return lines


def _model_line(model: dict[str, Any]) -> str:
    price = "price unknown"
    if model["prompt_usd_per_mtok"] is not None:
        price = f"${model['prompt_usd_per_mtok']:g} / ${model['completion_usd_per_mtok']:g} per M"
        price += f" as of {model['as_of']}"
    gone = "" if model["live"] else "  (no longer offered)"
    return f"    {model['model']:<22} {model['id']:<44} {price}{gone}"


def _report(one: Refreshed) -> list[str]:
    if one.trouble:
        return [f"{one.provider}: {one.trouble}"]
    if not one.changes:
        return [f"{one.provider}: nothing has changed"]
    return [f"{one.provider}: {change.model_id} {change.what}" for change in one.changes]


def _refreshed_json(one: Refreshed) -> dict[str, Any]:
    return {
        "provider": one.provider,
        "trouble": one.trouble,
        "changes": [{"model": c.model_id, "what": c.what} for c in one.changes],
    }
