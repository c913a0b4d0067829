"""An API key may have a share of the money: over it, hosted is refused, for that key alone."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runner.errors import BudgetError
from runner.ledger import Budget, HoldRequest, Ledger
from runner.ledger.schema import MIGRATIONS, migrate
from runner.ledger.store import Store
from tests.ledger.test_ledger import DAY, Clock


def wanted(key: str, amount: int | None = 100, request: str = "r") -> HoldRequest:
    return HoldRequest(request, "hermes-4-70b", "openrouter", key, amount)


async def test_a_key_over_its_budget_is_refused_and_the_others_are_not(tmp_path: Path) -> None:
    clock = Clock()
    ledger = Ledger.open(tmp_path, Budget(), clock)
    ledger.cap_keys({"anna": Budget(daily_nusd=150), "ben": Budget(monthly_nusd=500)})
    await ledger.reserve(wanted("anna", request="a1"))
    with pytest.raises(BudgetError, match=r"\[server\.api_keys\.anna\] daily_usd"):
        await ledger.reserve(wanted("anna", request="a2"))
    for number in range(5):
        await ledger.reserve(wanted("ben", request=f"b{number}"))
    with pytest.raises(BudgetError, match=r"\[server\.api_keys\.ben\] monthly_usd"):
        await ledger.reserve(wanted("ben", request="b6"))
    for number in range(9):
        await ledger.reserve(wanted("cleo", request=f"c{number}"))
    assert ledger.left_nusd(None, "anna") == 50
    assert ledger.left_nusd(None, "ben") == 0
    assert ledger.left_nusd(None, "cleo") is None
    assert "anna" in (ledger.why_over(51, None, "anna") or "")
    assert ledger.why_over(50, None, "anna") is None
    clock.now_s += DAY
    await ledger.reserve(wanted("anna", request="a3"))
    ledger.close()


async def test_what_was_not_spent_comes_back_to_the_key(tmp_path: Path) -> None:
    ledger = Ledger.open(tmp_path, Budget(daily_nusd=1000), Clock())
    ledger.cap_keys({"anna": Budget(daily_nusd=100)})
    ledger.settle(await ledger.reserve(wanted("anna")), 30)
    ledger.release(await ledger.reserve(wanted("anna", 70)))
    ledger.doubt(await ledger.reserve(wanted("anna", 70)))
    with pytest.raises(BudgetError):
        await ledger.reserve(wanted("anna", 1))
    with pytest.raises(BudgetError, match="not known"):
        await ledger.reserve(wanted("anna", None))
    ledger.close()


async def test_of_many_at_once_no_key_gets_more_than_its_share(tmp_path: Path) -> None:
    ledger = Ledger.open(tmp_path, Budget(daily_nusd=1000), Clock())
    ledger.cap_keys({"anna": Budget(daily_nusd=250), "ben": Budget(daily_nusd=350)})
    tries = [ledger.reserve(wanted(key, request=f"{key}{n}")) for n in range(20) for key in KEYS]
    results = await asyncio.gather(*tries, return_exceptions=True)
    assert sum(isinstance(result, int) for result in results) == 2 + 3
    ledger.close()


KEYS = ("anna", "ben")


async def test_a_share_survives_a_restart_and_so_does_what_counts_against_it(
    tmp_path: Path,
) -> None:
    for amounts in ((60,), (41,)):
        ledger = Ledger.open(tmp_path, Budget(), Clock())
        ledger.cap_keys({"anna": Budget(daily_nusd=100)})
        for amount in amounts:
            if amount == 60:
                await ledger.reserve(wanted("anna", amount))
            else:
                with pytest.raises(BudgetError):
                    await ledger.reserve(wanted("anna", amount))
        ledger.close()


async def test_a_ledger_that_cannot_be_written_refuses_a_key_with_a_share(tmp_path: Path) -> None:
    (tmp_path / "ledger.sqlite3").mkdir()
    ledger = Ledger.open(tmp_path, Budget(), Clock())
    ledger.cap_keys({"anna": Budget(daily_nusd=100)})
    with pytest.raises(BudgetError, match="needed while a budget is set"):
        await ledger.reserve(wanted("anna"))
    assert await ledger.reserve(wanted("ben"))
    ledger.close()


def test_what_an_older_version_wrote_counts(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite3"
    clock = Clock()
    with sqlite3.connect(path) as connection:
        connection.executescript(f"{MIGRATIONS[0]}\nPRAGMA user_version = 1;")
        connection.executemany(
            "INSERT INTO holds (id, request_id, at_s, day, model, provider, tenant, state, "
            "reserved_nusd, held_nusd) VALUES (?, 'r', ?, '2026-05-28', 'm', 'p', ?, ?, 50, ?)",
            [(1, clock(), "anna", "settled", 20), (2, clock(), "anna", "reserved", 50),
             (3, clock(), "ben", "released", 0)],
        )  # fmt: skip
    connection.close()
    store = Store(path, Budget(), clock)
    assert store.spent_by("anna").month_nusd == 70
    assert store.spent_by("ben").month_nusd == 0
    assert store.spent().month_nusd == 70
    store.connection.close()


@settings(max_examples=60)
@given(
    steps=st.lists(
        st.tuples(
            st.sampled_from(["anna", "ben", ""]),
            st.integers(0, 90),
            st.sampled_from(["settle", "release", "doubt", "keep"]),
            st.integers(0, 90),
        ),
        max_size=25,
    )
)
def test_shares_add_up_to_what_everybody_spent(
    steps: list[tuple[str, int, str, int]],
) -> None:
    store = Store(None, Budget(), Clock())
    for number, (key, amount, end, cost) in enumerate(steps):
        store.reserve(number, wanted(key, amount, request=f"r{number}"))
        if end == "settle":
            store.settle(number, cost)
        elif end != "keep":
            getattr(store, end)(number, *([None] if end == "doubt" else []))
    shares = [store.spent_by(key).month_nusd for key in ("anna", "ben", "")]
    assert sum(shares) == store.spent().month_nusd
    store.connection.close()


def test_migrating_twice_changes_nothing(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "one", isolation_level=None) as connection:
        migrate(connection)
        before = connection.execute("SELECT sql FROM sqlite_master").fetchall()
        migrate(connection)
        assert connection.execute("SELECT sql FROM sqlite_master").fetchall() == before
    connection.close()
