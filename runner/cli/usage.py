"""`runner usage`: tokens, money spent and money avoided.

Owns the table and what the chart shows; the sums are the ledger's. Reads the file, so no server
has to run, and asks nobody unless told to.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from runner.config import Settings
    from runner.ledger import Ledger, UsageReport, UsageRow

    from .plot import Columns

MAX_DAYS = 62  # of a picture; longer times are shown by the month
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
    png: Annotated[
        Path | None, typer.Option("--png", help="Draw it to this PNG, too; implies --plot.")
    ] = None,
    json_: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show tokens, money spent and money avoided.

    Sums by model, provider, key and day (UTC). Reserved is the worst case of answers on their way;
    uncertain, that of answers whose price nobody has told yet; avoided, what local answers would
    have cost at the cheapest provider.

    \b
    runner usage --since 2026-11-01 --plot
    runner usage --png money.png
    """
    import asyncio
    import json
    from shutil import get_terminal_size

    from runner.api.usage import read_since, usage_json

    from . import plot as plots

    if png is not None:
        plots.check_png(png)
    report = asyncio.run(_read(read_since(since), reconcile=reconcile))
    if png is not None:
        plots.write_png(chart(report, is_even=True), png)
    if json_:
        typer.echo(json.dumps(usage_json(report)))
        return
    is_drawn = plot or png is not None
    for line in _picture(report, get_terminal_size().columns) if is_drawn else _table(report):
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


def _picture(report: UsageReport, width: int) -> list[str]:
    """A bar for what was spent and one for what was avoided, per day."""
    from .plot import column_lines

    if not report.by_day:
        return ["nothing has been answered yet"]
    drawn = chart(report, is_even=False)
    return [*column_lines(drawn, width), "", *drawn.notes]


def chart(report: UsageReport, *, is_even: bool) -> Columns:
    """Money over time; `is_even` gives days without an answer their place, and long times months.

    Days are UTC, as the ledger has them.
    """
    from .plot import Bar, Column, Columns

    money = {day.name or "": (day.cost_usd, day.cost_avoided_usd) for day in report.by_day}
    if is_even:
        money = _even(money)
    totals = report.totals
    return Columns(
        heads=("hermes-runner: money spent and avoided",),
        columns=tuple(
            Column(name, (Bar("spent", usd, f"${usd:.6f}"), Bar("avoided", kept, f"${kept:.6f}")))
            for name, (usd, kept) in money.items()
        ),
        notes=(f"${totals.cost_usd:.6f} spent, ${totals.cost_avoided_usd:.6f} avoided",),
    )


def _even(money: dict[str, tuple[float, float]]) -> dict[str, tuple[float, float]]:
    """Every day from the first to the last, or every month if these are too many."""
    from datetime import date, timedelta

    if not money:
        return {}
    first, last = date.fromisoformat(min(money)), date.fromisoformat(max(money))
    days = [first + timedelta(days=place) for place in range((last - first).days + 1)]
    length = len("2026-11-20") if len(days) <= MAX_DAYS else len("2026-11")
    even = {day.isoformat()[:length]: (0.0, 0.0) for day in days}
    for name, (spent, avoided) in money.items():
        sum_spent, sum_avoided = even[name[:length]]
        even[name[:length]] = (sum_spent + spent, sum_avoided + avoided)
    return even


def _cells(row: UsageRow) -> tuple[str, ...]:
    money = (row.cost_usd, row.cost_reserved_usd, row.cost_uncertain_usd, row.cost_avoided_usd)
    counts = (row.requests, row.prompt_tokens, row.completion_tokens)
    return (*map(str, counts), *(f"{usd:.6f}" for usd in money))


def _line(name: str, cells: tuple[str, ...], width: int) -> str:
    return f"{name:<{width}}  " + "  ".join(f"{cell:>12}" for cell in cells)
