"""The ledger, aggregated: tokens, and money spent, reserved, uncertain and avoided.

Owns the sums of `GET /v1/usage` and of the command. Reads only. Invariant: every breakdown adds
up to the totals.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from .money import to_usd

_COLUMNS = {
    "requests": "count(requests)",
    "prompt_tokens": "sum(prompt_tokens)",
    "completion_tokens": "sum(completion_tokens)",
    "cost": "sum(settled_nusd)",
    "reserved": "sum(reserved_nusd)",
    "uncertain": "sum(uncertain_nusd)",
    "avoided": "sum(avoided_nusd)",
}
_ROWS = """
    SELECT model, provider, tenant, day, 1 AS requests, prompt_tokens, completion_tokens,
        0 AS settled_nusd, 0 AS reserved_nusd, 0 AS uncertain_nusd, avoided_nusd
    FROM answers WHERE at_s >= :since_s
    UNION ALL
    SELECT model, provider, tenant, day, NULL, 0, 0, iif(state = 'settled', held_nusd, 0),
        iif(state = 'reserved', held_nusd, 0), iif(state = 'uncertain', held_nusd, 0), 0
    FROM holds WHERE at_s >= :since_s
"""


@dataclass(frozen=True, slots=True)
class UsageRow:
    """Sums for one name, or for everything (`name` None)."""

    name: str | None
    requests: int
    prompt_tokens: int
    completion_tokens: int
    cost_usd: float
    cost_reserved_usd: float
    cost_uncertain_usd: float
    cost_avoided_usd: float


@dataclass(frozen=True, slots=True)
class UsageReport:
    """Everything since a moment, whole and broken down four ways."""

    since_s: float
    totals: UsageRow
    by_model: tuple[UsageRow, ...]
    by_provider: tuple[UsageRow, ...]
    by_key: tuple[UsageRow, ...]
    by_day: tuple[UsageRow, ...]


def usage_since(connection: sqlite3.Connection, since_s: float) -> UsageReport:
    """Add up everything that happened at or after `since_s` (seconds since 1970)."""
    [totals] = _sums(connection, since_s, "NULL")
    return UsageReport(
        since_s=since_s,
        totals=totals,
        by_model=_sums(connection, since_s, "model"),
        by_provider=_sums(connection, since_s, "provider"),
        by_key=_sums(connection, since_s, "tenant"),
        by_day=_sums(connection, since_s, "day"),
    )


def _sums(connection: sqlite3.Connection, since_s: float, column: str) -> tuple[UsageRow, ...]:
    sums = ", ".join(f"coalesce({how}, 0)" for how in _COLUMNS.values())
    grouped = "" if column == "NULL" else f"GROUP BY {column} ORDER BY {column}"
    rows = connection.execute(
        f"SELECT {column}, {sums} FROM ({_ROWS}) {grouped}", {"since_s": since_s}
    )
    return tuple(UsageRow(*row[:4], *(to_usd(nusd) for nusd in row[4:])) for row in rows.fetchall())
