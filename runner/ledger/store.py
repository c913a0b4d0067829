"""The ledger's file: every statement that is run against it.

Owns one SQLite connection, used by one thread at a time. Knows no event loop. Invariant: a hold
is inserted only in the transaction that found it to fit every cap.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from .answer import AnswerRow
from .budget import Budget, Cap, Spent, caps_of, caps_of_key, over_budget, why_over
from .money import Price
from .schema import migrate

NUM_SAMPLES_KEPT = 200
STALE_AFTER_S = 3600.0


@dataclass(frozen=True, slots=True)
class HoldRequest:
    """Money to be held before a request leaves; `amount_nusd` None is a price nobody knows."""

    request_id: str
    model: str
    provider: str
    tenant: str
    amount_nusd: int | None
    request_cap_nusd: int | None = None
    price: Price | None = None


@dataclass(frozen=True, slots=True)
class Sample:
    """How one upstream attempt went."""

    provider: str
    is_ok: bool
    first_token_s: float | None = None
    tokens_per_s: float | None = None
    at_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Uncertain:
    """A hold whose real cost is not known yet."""

    hold_id: int
    provider: str
    generation_id: str | None
    reserved_nusd: int
    at_s: float


class Store:
    """The statements. `path` None keeps everything in memory."""

    def __init__(self, path: Path | None, budget: Budget, clock: Callable[[], float]) -> None:
        self._clock = clock
        self.budget = budget
        self.key_budgets: Mapping[str, Budget] = {}
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
        self.connection = sqlite3.connect(
            path or ":memory:", isolation_level=None, check_same_thread=False, timeout=5.0
        )
        try:
            self.connection.execute("PRAGMA journal_mode = WAL")
            self.connection.execute("PRAGMA foreign_keys = ON")
            migrate(self.connection)
            self._give_up_stale_holds()
        except BaseException:
            self.connection.close()
            raise

    def _give_up_stale_holds(self) -> None:
        """Holds that outlived every timer belong to a process that died."""
        self.connection.execute(
            "UPDATE holds SET state = 'uncertain' WHERE state = 'reserved' AND at_s < ?",
            (self._clock() - STALE_AFTER_S,),
        )

    def spent(self, request_id: str = "") -> Spent:
        """What counts against everybody's caps now."""
        return self._add_up("spend", "true", (), request_id)

    def spent_by(self, key: str, request_id: str = "") -> Spent:
        """What counts against the caps of one key now."""
        return self._add_up("key_spend", "tenant = ?", (key,), request_id)

    def _add_up(self, table: str, whose: str, values: tuple[str, ...], request_id: str) -> Spent:
        day = day_of(self._clock())
        [row] = self.connection.execute(
            "SELECT coalesce(sum(held_nusd) FILTER (WHERE day = ?), 0), "
            f"coalesce(sum(held_nusd), 0) FROM {table} WHERE day >= ? AND {whose}",
            (day, day[:8] + "01", *values),
        )
        [[request_nusd]] = self.connection.execute(
            "SELECT coalesce(sum(held_nusd), 0) FROM holds WHERE request_id = ?", (request_id,)
        )
        return Spent(today_nusd=row[0], month_nusd=row[1], request_nusd=request_nusd)

    def _caps(self, wanted: HoldRequest) -> list[Cap]:
        """Every cap that a hold has to fit, with what counts against it now."""
        request_id, key = wanted.request_id, wanted.tenant
        caps = caps_of(self.budget, self.spent(request_id), wanted.request_cap_nusd)
        if key in self.key_budgets:
            caps += caps_of_key(key, self.key_budgets[key], self.spent_by(key, request_id))
        return caps

    def reserve(self, hold_id: int, wanted: HoldRequest) -> None:
        """Hold the money under that id, or raise `BudgetError` when it does not fit."""
        amount = wanted.amount_nusd
        why = why_over(self._caps(wanted), amount)
        if why is not None:
            raise over_budget(why)
        now_s = self._clock()
        self.connection.execute(
            "INSERT INTO holds (id, request_id, at_s, day, model, provider, tenant, state, "
            "reserved_nusd, held_nusd, price_prompt, price_completion, price_as_of) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, 'reserved', ?, ?, ?, ?, ?)",
            (
                hold_id,
                wanted.request_id,
                now_s,
                day_of(now_s),
                wanted.model,
                wanted.provider,
                wanted.tenant,
                amount or 0,
                amount or 0,
                *_price_columns(wanted.price),
            ),
        )

    def settle(self, hold_id: int, cost_nusd: int) -> None:
        """The real cost is known."""
        self.connection.execute(
            "UPDATE holds SET state = 'settled', held_nusd = ? WHERE id = ? "
            "AND state IN ('reserved', 'uncertain')",
            (cost_nusd, hold_id),
        )

    def release(self, hold_id: int) -> None:
        """Nothing was sent, or the provider said that nothing was billed."""
        self.connection.execute(
            "UPDATE holds SET state = 'released', held_nusd = 0 WHERE id = ? "
            "AND state IN ('reserved', 'uncertain')",
            (hold_id,),
        )

    def doubt(self, hold_id: int, generation_id: str | None) -> None:
        """Something may have been billed; the hold stays until somebody knows."""
        self.connection.execute(
            "UPDATE holds SET state = 'uncertain', generation_id = ? WHERE id = ? "
            "AND state = 'reserved'",
            (generation_id, hold_id),
        )

    def uncertain(self) -> list[Uncertain]:
        """Every hold in doubt, oldest first."""
        rows = self.connection.execute(
            "SELECT id, provider, generation_id, reserved_nusd, at_s FROM holds "
            "WHERE state = 'uncertain' ORDER BY at_s, id"
        )
        return [Uncertain(*row) for row in rows]

    def record(self, row: AnswerRow) -> None:
        """Keep one finished client request."""
        now_s = self._clock()
        cursor = self.connection.execute(
            "INSERT INTO answers (request_id, at_s, day, model, provider, tenant, outcome, "
            "prompt_tokens, completion_tokens, avoided_nusd, price_prompt, price_completion, "
            "price_as_of) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                row.request_id,
                now_s,
                day_of(now_s),
                row.model,
                row.provider,
                row.tenant,
                row.outcome,
                row.prompt_tokens,
                row.completion_tokens,
                row.avoided_nusd,
                *_price_columns(row.price),
            ),
        )
        self.connection.executemany(
            "INSERT INTO attempts (answer_id, position, backend, outcome, ms) "
            "VALUES (?, ?, ?, ?, ?)",
            [
                (cursor.lastrowid, position, one.backend, one.outcome, one.ms)
                for position, one in enumerate(row.attempts)
            ],
        )

    def sample(self, sample: Sample) -> None:
        """Keep one sample of a provider's health, and not too many of them."""
        self.connection.execute(
            "INSERT INTO samples (provider, at_s, is_ok, first_token_s, tokens_per_s) "
            "VALUES (?, ?, ?, ?, ?)",
            (
                sample.provider,
                sample.at_s or self._clock(),
                sample.is_ok,
                sample.first_token_s,
                sample.tokens_per_s,
            ),
        )
        self.connection.execute(
            "DELETE FROM samples WHERE provider = ? AND id <= (SELECT id FROM samples "
            "WHERE provider = ? ORDER BY id DESC LIMIT 1 OFFSET ?)",
            (sample.provider, sample.provider, NUM_SAMPLES_KEPT),
        )

    def samples(self) -> list[Sample]:
        """Every sample kept, oldest first."""
        rows: Iterable[tuple[str, int, float | None, float | None, float]]
        rows = self.connection.execute(
            "SELECT provider, is_ok, first_token_s, tokens_per_s, at_s FROM samples ORDER BY id"
        )
        return [Sample(row[0], bool(row[1]), row[2], row[3], row[4]) for row in rows]


def day_of(at_s: float) -> str:
    """The UTC day of a moment, as providers count theirs."""
    return datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%d")


def _price_columns(price: Price | None) -> tuple[float | None, float | None, str | None]:
    if price is None:
        return None, None, None
    dated = price.as_of.isoformat() if price.as_of else None
    return price.prompt_usd_per_mtok, price.completion_usd_per_mtok, dated
