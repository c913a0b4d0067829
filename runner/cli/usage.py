"""`runner usage`: tokens, money spent and money avoided.

Owns the table only; the sums are the ledger's. Reads the file, so no server has to run, and
asks nobody unless told to.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from runner.config import Settings
    from runner.ledger import Ledger, UsageReport, UsageRow

HEAD = ("requests", "prompt", "completion", "spent $", "reserved $", "uncertain $", "avoided $")


def command(
    since: Annotated[
        str | None, typer.Option(help="Only what happened since then, such as 2026-11-20.")
    ] = None,
    reconcile: Annotated[
        bool, typer.Option(help="First ask providers what uncertain answers really cost.")
    ] = False,
    plot: Annotated[
        bool, typer.Option("--plot", help="Draw money spent and avoided, day by day.")
    ] = False,
    json_: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show tokens, money spent and money avoided."""
    import asyncio
    import json

    from runner.api.usage import read_since, usage_json

    report = asyncio.run(_read(read_since(since), reconcile=reconcile))
    if json_:
        typer.echo(json.dumps(usage_json(report)))
        return
    for line in _picture(report) if plot else _table(report):
        typer.echo(line)


async def _read(since_s: float, *, reconcile: bool) -> UsageReport:
    from runner.config import load
    from runner.ledger import Budget, Ledger

    settings = load().settings
    ledger = Ledger.open(settings.state_dir, Budget.of(settings.budget))
    try:
        if reconcile:
            await _reconcile(settings, ledger)
        return await ledger.usage(since_s)
    finally:
        ledger.close()


async def _reconcile(settings: Settings, ledger: Ledger) -> None:
    import os
    import time

    from runner.catalog import Catalog
    from runner.egress import Egress
    from runner.hosted import House, build_backends

    egress = Egress(offline=settings.offline)
    egress.check("runner usage --reconcile")
    house = House(Catalog(()), settings.hosted, egress, ledger, time.monotonic)
    for backend in build_backends(settings.providers, os.environ, house):
        if backend.provider.missing() is None:
            num_settled = await backend.reconcile()
            typer.echo(f"{backend.name}: {num_settled} uncertain answers settled", err=True)
        await backend.aclose()


def _table(report: UsageReport) -> list[str]:
    parts = (
        ("model", report.by_model),
        ("provider", report.by_provider),
        ("key", report.by_key),
        ("day", report.by_day),
    )
    names = [row.name or "(none)" for _, rows in parts for row in rows]
    width = max([len("provider"), *map(len, names)])
    lines = []
    for label, rows in parts:
        lines.append(_line(label, HEAD, width))
        lines += [_line(row.name or "(none)", _cells(row), width) for row in rows]
        lines.append("")
    return [*lines, _line("total", _cells(report.totals), width)]


def _picture(report: UsageReport) -> list[str]:
    """A bar for what was spent and one for what was avoided, per day."""
    from shutil import get_terminal_size

    from .bar import bar

    if not report.by_day:
        return ["nothing has been answered yet"]
    most = max(max(day.cost_usd, day.cost_avoided_usd) for day in report.by_day)
    room = max(10, min(get_terminal_size().columns, 100) - 34)
    lines = []
    for day in report.by_day:
        for name, label, usd in (
            (day.name or "", "spent", day.cost_usd),
            ("", "avoided", day.cost_avoided_usd),
        ):
            lines.append(f"{name:<10}  {label:<7}  {bar(usd, most, room):<{room}}  ${usd:.6f}")
    totals = report.totals
    return [*lines, "", f"${totals.cost_usd:.6f} spent, ${totals.cost_avoided_usd:.6f} avoided"]


def _cells(row: UsageRow) -> tuple[str, ...]:
    money = (row.cost_usd, row.cost_reserved_usd, row.cost_uncertain_usd, row.cost_avoided_usd)
    counts = (row.requests, row.prompt_tokens, row.completion_tokens)
    return (*map(str, counts), *(f"{usd:.6f}" for usd in money))


def _line(name: str, cells: tuple[str, ...], width: int) -> str:
    return f"{name:<{width}}  " + "  ".join(f"{cell:>12}" for cell in cells)
