"""The ledger: money is held before it is spent, and every sum adds up."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runner.errors import BudgetError
from runner.ledger import (
    AnswerRow,
    Attempt,
    Budget,
    HoldRequest,
    Ledger,
    LedgerError,
    Price,
    Sample,
    to_usd,
)
from runner.ledger.store import Store

NOON = 1_780_000_000.0
DAY = 86_400.0


class Clock:
    """Seconds that pass only when told to."""

    def __init__(self) -> None:
        self.now_s = NOON

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


def wanted(amount: int | None = 100, request: str = "r", cap: int | None = None) -> HoldRequest:
    return HoldRequest(request, "hermes-4-70b", "openrouter", "alice", amount, cap, Price(1, 3))


def answered(provider: str = "local", tenant: str = "alice", avoided: int = 7) -> AnswerRow:
    return AnswerRow(
        "r", "hermes-4-70b", provider, tenant, "ok", 10, 5, avoided, Price(1, 3, date(2026, 7, 2))
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "home"


def opened(folder: Path | None, budget: Budget, clock: Clock) -> Iterator[Ledger]:
    ledger = Ledger.open(folder, budget, clock)
    yield ledger
    ledger.close()


async def test_of_many_at_once_exactly_as_many_leave_as_there_is_money_for(
    folder: Path, clock: Clock
) -> None:
    for ledger in opened(folder, Budget(daily_nusd=250), clock):
        tries = [ledger.reserve(wanted(request=f"r{n}")) for n in range(50)]
        results = await asyncio.gather(*tries, return_exceptions=True)
        assert sum(isinstance(result, int) for result in results) == 2
        assert sum(isinstance(result, BudgetError) for result in results) == 48


async def test_two_processes_share_one_budget(folder: Path, clock: Clock) -> None:
    budget = Budget(daily_nusd=150)
    for first in opened(folder, budget, clock):
        for second in opened(folder, budget, clock):
            await first.reserve(wanted(request="a"))
            with pytest.raises(BudgetError):
                await second.reserve(wanted(request="b"))


async def test_settling_frees_what_was_not_spent(folder: Path, clock: Clock) -> None:
    for ledger in opened(folder, Budget(daily_nusd=100), clock):
        hold = await ledger.reserve(wanted())
        ledger.settle(hold, 30)
        await ledger.flush()
        assert ledger.left_nusd(None) == 70
        with pytest.raises(BudgetError, match=r"left of \[budget\] daily_usd"):
            await ledger.reserve(wanted(71))
        await ledger.reserve(wanted(70))


async def test_doubt_keeps_the_money_held_until_the_cost_is_known(
    folder: Path, clock: Clock
) -> None:
    for ledger in opened(folder, Budget(daily_nusd=100), clock):
        hold = await ledger.reserve(wanted())
        ledger.doubt(hold, "gen-1")
        [doubtful] = await ledger.uncertain()
        assert (doubtful.generation_id, doubtful.reserved_nusd) == ("gen-1", 100)
        assert ledger.left_nusd(None) == 0
        ledger.settle(doubtful.hold_id, 40)
        assert await ledger.uncertain() == []
        assert ledger.left_nusd(None) == 60


async def test_a_settled_hold_stays_as_it_is(folder: Path, clock: Clock) -> None:
    for ledger in opened(folder, Budget(daily_nusd=100), clock):
        hold = await ledger.reserve(wanted())
        ledger.settle(hold, 30)
        ledger.settle(hold, 99)
        ledger.release(hold)
        ledger.doubt(hold)
        await ledger.flush()
        assert ledger.left_nusd(None) == 70


async def test_days_and_months_start_anew(clock: Clock) -> None:
    clock.now_s = 1_782_777_600.0  # 2026-06-30
    for ledger in opened(None, Budget(daily_nusd=100, monthly_nusd=150), clock):
        await ledger.reserve(wanted(100, "a"))
        with pytest.raises(BudgetError):
            await ledger.reserve(wanted(1, "b"))
        clock.now_s += DAY  # the next day is the next month too
        await ledger.reserve(wanted(100, "c"))
        clock.now_s += DAY
        with pytest.raises(BudgetError, match="monthly"):
            await ledger.reserve(wanted(51, "d"))


async def test_a_request_may_not_exceed_its_own_cap_over_all_its_attempts(clock: Clock) -> None:
    for ledger in opened(None, Budget(per_request_nusd=150), clock):
        await ledger.reserve(wanted(100, "a"))
        with pytest.raises(BudgetError):
            await ledger.reserve(wanted(100, "a"))
        await ledger.reserve(wanted(100, "b"))
        with pytest.raises(BudgetError, match="max_cost_usd"):
            await ledger.reserve(wanted(100, "c", cap=99))


async def test_an_unknown_price_is_refused_as_soon_as_anything_is_capped(clock: Clock) -> None:
    for ledger in opened(None, Budget(monthly_nusd=10**12), clock):
        with pytest.raises(BudgetError, match="price is not known"):
            await ledger.reserve(wanted(None))
    for ledger in opened(None, Budget(), clock):
        assert await ledger.reserve(wanted(None))
        with pytest.raises(BudgetError):
            await ledger.reserve(wanted(None, cap=5))


async def test_a_caller_who_leaves_while_waiting_holds_nothing(folder: Path, clock: Clock) -> None:
    for ledger in opened(folder, Budget(daily_nusd=100), clock):
        leaving = asyncio.create_task(ledger.reserve(wanted()))
        await asyncio.sleep(0)
        leaving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaving
        await ledger.flush()
        await asyncio.sleep(0)
        await ledger.flush()
        assert ledger.left_nusd(None) == 100


async def test_everything_survives_a_restart(folder: Path, clock: Clock) -> None:
    for ledger in opened(folder, Budget(), clock):
        ledger.settle(await ledger.reserve(wanted()), 30)
        ledger.record(answered())
        ledger.sample(Sample("openrouter", True, 0.5, 40.0))
        before = await ledger.usage()
    for ledger in opened(folder, Budget(daily_nusd=100), clock):
        assert await ledger.usage() == before
        assert ledger.left_nusd(None) == 70
        [sample] = ledger.past_samples()
        assert (sample.provider, sample.is_ok, sample.first_token_s) == ("openrouter", True, 0.5)


async def test_what_a_dead_process_held_becomes_uncertain(folder: Path, clock: Clock) -> None:
    for ledger in opened(folder, Budget(), clock):
        await ledger.reserve(wanted())
    clock.now_s += 2 * 3600
    for ledger in opened(folder, Budget(), clock):
        assert [one.reserved_nusd for one in await ledger.uncertain()] == [100]


async def test_breakdowns_add_up_to_the_totals(clock: Clock) -> None:
    for ledger in opened(None, Budget(), clock):
        ledger.record(answered())
        ledger.record(answered("openrouter", "bob", avoided=0))
        ledger.settle(await ledger.reserve(wanted()), 30)
        ledger.doubt(await ledger.reserve(wanted(50)))
        await ledger.reserve(wanted(20))
        report = await ledger.usage()
        totals = report.totals
        assert (totals.requests, totals.prompt_tokens, totals.completion_tokens) == (2, 20, 10)
        assert totals.cost_usd == to_usd(30)
        assert totals.cost_uncertain_usd == to_usd(50)
        assert totals.cost_reserved_usd == to_usd(20)
        assert totals.cost_avoided_usd == to_usd(7)
        for rows in (report.by_model, report.by_provider, report.by_key, report.by_day):
            assert sum(row.requests for row in rows) == totals.requests
            assert sum(row.cost_usd for row in rows) == pytest.approx(totals.cost_usd)
        assert [row.name for row in report.by_provider] == ["local", "openrouter"]
        assert [row.name for row in report.by_key] == ["alice", "bob"]
        later = await ledger.usage(clock.now_s + 1)
        assert later.totals.requests == 0


async def test_attempts_are_kept_without_the_words_of_their_errors(
    folder: Path, clock: Clock
) -> None:
    words = "flagged input: CANARY-PROMPT"
    attempts = (Attempt("openrouter", 0.0, "failed", words, 12.0), Attempt("local", 1.0, "ok"))
    for ledger in opened(folder, Budget(), clock):
        ledger.record(AnswerRow("r", "m", "local", "", "ok", attempts=attempts))
        await ledger.flush()
    stored = b"".join(path.read_bytes() for path in folder.iterdir())
    assert b"CANARY" not in stored
    with sqlite3.connect(folder / "ledger.sqlite3") as connection:
        rows = connection.execute("SELECT backend, outcome, ms FROM attempts").fetchall()
    connection.close()
    assert rows == [("openrouter", "failed", 12.0), ("local", "ok", 0.0)]


async def test_a_folder_that_cannot_be_written_never_stops_local_answers(
    tmp_path: Path, clock: Clock
) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    for ledger in opened(blocked, Budget(daily_nusd=100), clock):
        ledger.record(answered())
        assert (await ledger.usage()).totals.requests == 1
        with pytest.raises(BudgetError, match="cannot be used"):
            await ledger.reserve(wanted())
        assert "needed" in (ledger.why_over(1, None) or "") or "need it" in (
            ledger.why_over(1, None) or ""
        )
    for ledger in opened(blocked, Budget(), clock):
        assert await ledger.reserve(wanted())


async def test_a_disk_that_fills_up_refuses_money_only_where_it_is_capped(
    folder: Path, clock: Clock
) -> None:
    for budget, is_refused in ((Budget(daily_nusd=10**9), True), (Budget(), False)):
        for ledger in opened(folder, budget, clock):
            await ledger.flush()
            connection = ledger._store.connection
            [[pages]] = connection.execute("PRAGMA page_count").fetchall()
            connection.execute(f"PRAGMA max_page_count = {pages}")
            ledger.record(AnswerRow("r", "m" * 100_000, "local", "", "ok"))
            big = HoldRequest("r", "m" * 100_000, "openrouter", "", 100)
            if is_refused:
                with pytest.raises(BudgetError, match="cannot be written"):
                    await ledger.reserve(big)
            else:
                await ledger.reserve(big)
                await ledger.flush()
                assert ledger.left_nusd(None) is None
            connection.execute("PRAGMA max_page_count = 1000000")
            assert await ledger.reserve(wanted())  # room again: it heals by itself


def test_a_damaged_or_future_file_is_not_touched(folder: Path, clock: Clock) -> None:
    folder.mkdir()
    path = folder / "ledger.sqlite3"
    path.write_bytes(b"this is no database, but somebody's only copy of it" * 50)
    before = path.read_bytes()
    for ledger in opened(folder, Budget(), clock):
        assert ledger.trouble
    assert path.read_bytes() == before


async def test_a_closed_ledger_says_so(clock: Clock) -> None:
    ledger = Ledger.open(None, Budget(), clock)
    ledger.close()
    with pytest.raises(LedgerError):
        await ledger.flush()


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["reserve", "settle", "release", "doubt", "tomorrow"]),
            st.integers(0, 120),
            st.integers(0, 8),
        ),
        max_size=40,
    )
)
def test_holds_never_exceed_the_caps_and_the_daily_sums_match_the_rows(
    steps: list[tuple[str, int, int]],
) -> None:
    clock = Clock()
    store = Store(None, Budget(daily_nusd=300, monthly_nusd=500), clock)
    holds: list[int] = []
    for step, amount, which in steps:
        match step:
            case "reserve":
                try:
                    store.reserve(len(holds), wanted(amount, f"r{len(holds)}"))
                    holds.append(len(holds))
                except BudgetError:
                    assert (
                        store.spent().today_nusd + amount > 300
                        or store.spent().month_nusd + amount > 500
                    )
            case "tomorrow":
                clock.now_s += DAY
            case _ if holds:
                hold = holds[which % len(holds)]
                if step == "settle":
                    store.settle(hold, min(amount, _reserved(store, hold)))
                elif step == "release":
                    store.release(hold)
                else:
                    store.doubt(hold, None)
        spent = store.spent()
        assert spent.today_nusd <= 300
        assert spent.month_nusd <= 500
        rows = store.connection.execute("SELECT day, sum(held_nusd) FROM holds GROUP BY day")
        sums = store.connection.execute("SELECT day, held_nusd FROM spend")
        assert dict(rows.fetchall()) == dict(sums.fetchall())
    store.connection.close()


def _reserved(store: Store, hold: int) -> int:
    [[amount]] = store.connection.execute("SELECT reserved_nusd FROM holds WHERE id = ?", (hold,))
    return int(amount)
