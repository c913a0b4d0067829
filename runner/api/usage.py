"""`GET /v1/usage`: the ledger, aggregated.

Owns the shape and the reading of `since`. Reads only.
"""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime

from fastapi import APIRouter

from runner.errors import InvalidRequestError
from runner.ledger import Ledger, UsageReport, UsageRow, to_usd
from runner.types import JsonObject


def usage_router(ledger: Ledger) -> APIRouter:
    """The endpoint."""
    router = APIRouter(tags=["operations"])

    @router.get("/v1/usage")
    async def show_usage(since: str | None = None) -> JsonObject:
        """Requests, tokens and money since a moment: a date, a time or seconds since 1970."""
        budget = ledger.budget
        caps = {
            "daily_usd": budget.daily_nusd,
            "monthly_usd": budget.monthly_nusd,
            "per_request_usd": budget.per_request_nusd,
        }
        shown = usage_json(await ledger.usage(read_since(since)))
        shown["budget"] = {
            name: None if nusd is None else to_usd(nusd) for name, nusd in caps.items()
        }
        return shown

    return router


def read_since(since: str | None) -> float:
    """Seconds since 1970 of `2026-11-20`, `2026-11-20T09:00Z` or a number; UTC if not said.

    Raises:
        InvalidRequestError: it is none of these.
    """
    if not since:
        return 0.0
    try:
        if since.replace(".", "", 1).isdecimal():
            return datetime.fromtimestamp(float(since), UTC).timestamp()
        moment = datetime.fromisoformat(since)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError, OSError):
        raise InvalidRequestError(
            f"since={since[:40]!r} is no time; write 2026-11-20 or 2026-11-20T09:00:00Z",
            param="since",
        ) from None


def usage_json(report: UsageReport) -> JsonObject:
    """The report as the contract has it."""
    since = datetime.fromtimestamp(report.since_s, UTC).isoformat() if report.since_s else None
    return {
        "object": "usage",
        "since": since,
        "totals": _row_json(report.totals),
        "by_model": [_row_json(row, "model") for row in report.by_model],
        "by_provider": [_row_json(row, "provider") for row in report.by_provider],
        "by_key": [_row_json(row, "key") for row in report.by_key],
        "by_day": [_row_json(row, "day") for row in report.by_day],
    }


def _row_json(row: UsageRow, label: str | None = None) -> JsonObject:
    shown = asdict(row)
    name = shown.pop("name")
    return shown if label is None else {label: name, **shown}
