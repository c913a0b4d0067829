"""Money: held before it leaves, settled by what was named, and refused where it is not there."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from runner.errors import NoRouteError, UpstreamError
from runner.ledger import Budget, to_nusd
from tests.fakes.openrouter import Scenario
from tests.hosted.house import ask, house, tell


def worst_nusd(setup: object) -> int:
    quote = setup.backends["openrouter"].quote(ask())  # type: ignore[attr-defined]
    assert quote.worst_nusd is not None
    return int(quote.worst_nusd)


@pytest.mark.parametrize("count", [40])
async def test_of_many_at_once_with_money_for_one_exactly_one_leaves(count: int) -> None:
    async with house() as probe:
        worst = worst_nusd(probe)
    budget = Budget(daily_nusd=worst + worst // 2)
    async with house(budget=budget, default=Scenario(delay_s=0.2)) as setup:
        asked = [tell(setup, replace(ask(), id=f"r{n}")) for n in range(count)]
        told = await asyncio.gather(*asked)
        assert sum(one.error is None for one in told) == 1
        assert sum(isinstance(one.error, NoRouteError) for one in told) == count - 1
        assert len(setup.fake.posts) == 1


async def test_the_real_cost_is_what_is_booked() -> None:
    async with house(budget=Budget(daily_nusd=10**9)) as setup:
        told = await tell(setup, ask())
        totals = (await setup.ledger.usage()).totals
        assert to_nusd(totals.cost_usd) == setup.fake.billed_nusd > 0
        assert told.finished and told.finished.usage.cost_usd == totals.cost_usd
        assert told.answer and told.answer.route.snapshot().cost_usd == totals.cost_usd


async def test_hosts_that_name_no_cost_are_booked_by_their_price_and_count() -> None:
    async with house("nebius") as setup:
        await tell(setup, ask())
        totals = (await setup.ledger.usage()).totals
        assert to_nusd(totals.cost_usd) == setup.fake.billed_nusd > 0


async def test_over_the_requests_own_cap_nothing_is_sent() -> None:
    async with house() as setup:
        told = await tell(setup, ask(max_cost_usd=0.0000001))
        assert isinstance(told.error, NoRouteError)
        assert "max_cost_usd" in str(told.error)
        assert not setup.fake.posts


async def test_what_was_in_doubt_is_settled_by_the_audit_record() -> None:
    async with house() as setup:
        setup.fake.play("F23-null")
        await tell(setup, ask())
        setup.fake.generation_after = 0
        assert await setup.backends["openrouter"].reconcile() == 1
        totals = (await setup.ledger.usage()).totals
        assert totals.cost_uncertain_usd == 0
        assert to_nusd(totals.cost_usd) == setup.fake.billed_nusd > 0


async def test_a_price_that_rose_refuses_instead_of_spending() -> None:
    async with house() as setup:
        setup.fake.price_scale = 3.3
        told = await tell(setup, ask())
        assert isinstance(told.error, UpstreamError)
        assert "max_price" in str(told.error) and "refresh" in str(told.error)
        assert setup.fake.billed_nusd == 0
        assert setup.fake.posts[0].json["provider"]["max_price"] == {"prompt": 1, "completion": 3}


async def test_a_stream_that_died_stays_uncertain_at_its_reserve() -> None:
    async with house() as setup:
        setup.fake.play("F16-with-choice")
        worst = worst_nusd(setup)
        await tell(setup, ask())
        totals = (await setup.ledger.usage()).totals
        assert to_nusd(totals.cost_uncertain_usd) == worst


async def test_the_price_of_an_attempt_counts_against_the_requests_cap() -> None:
    async with house() as probe:
        worst = worst_nusd(probe)
    async with house(budget=Budget(per_request_nusd=worst + 1)) as setup:
        setup.fake.play("F12-close")  # nobody knows what that cost
        told = await tell(setup, ask())
        assert isinstance(told.error, NoRouteError)
        assert len(setup.fake.posts) == 1
