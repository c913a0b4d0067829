"""Bounds: every request has one, and with a price its worst case is known."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

from hypothesis import given
from hypothesis import strategies as st

from runner.catalog import HostedOffer
from runner.hosted.pricing import (
    DEFAULT_MAX_TOKENS,
    MIN_MAX_TOKENS,
    bound,
    estimate_prompt,
    price_of,
    reference_price,
)
from runner.ledger import Price
from runner.types import TextPrompt
from tests.hosted.house import ask, catalogue

OFFER = HostedOffer(
    provider="p",
    id="m",
    prompt_usd_per_mtok=1,
    completion_usd_per_mtok=3,
    as_of=date(2026, 9, 24),
    context=131_072,
    max_output=8192,
)


@given(
    st.integers(1, 200_000) | st.none(),
    st.integers(0, 10**9) | st.none(),
    st.text(max_size=200),
)
def test_every_request_is_bounded_and_its_worst_case_known(
    max_tokens: int | None, left: int | None, text: str
) -> None:
    request = ask(text, max_tokens=max_tokens)
    limit = bound(request, OFFER, price_of(OFFER), left)
    assert 1 <= limit.max_tokens <= min(max_tokens or DEFAULT_MAX_TOKENS, 8192)
    assert limit.worst_nusd == Price(1, 3).cost_nusd(limit.num_prompt, limit.max_tokens)
    assert limit.is_lowered is (max_tokens is not None and limit.max_tokens < max_tokens)


def test_money_shortens_an_answer_only_where_the_caller_set_no_length() -> None:
    left = Price(1, 3).cost_nusd(estimate_prompt(ask()), 100)
    free = bound(ask(max_tokens=None), OFFER, price_of(OFFER), left)
    assert free.max_tokens == 100
    assert bound(ask(max_tokens=200), OFFER, price_of(OFFER), left).max_tokens == 200
    scarce = bound(ask(max_tokens=None), OFFER, price_of(OFFER), 10)
    assert scarce.max_tokens > MIN_MAX_TOKENS  # not worth sending; the ledger refuses it


def test_an_unknown_price_has_no_worst_case() -> None:
    offer = OFFER.model_copy(update={"prompt_usd_per_mtok": None, "completion_usd_per_mtok": None})
    assert bound(ask(), offer, price_of(offer), 5).worst_nusd is None


@given(st.text(max_size=500))
def test_the_estimate_is_above_any_usual_tokenizer(text: str) -> None:
    request = replace(ask(), prompt=TextPrompt(text))
    assert estimate_prompt(request) >= len(text.encode()) / 4


def test_the_reference_price_is_the_cheapest_live_one() -> None:
    assert reference_price(catalogue(), "hermes-4-405b") == Price(0.09, 0.37, date(2026, 9, 24))
    assert reference_price(catalogue(), "hermes-3-8b") is None
    assert reference_price(catalogue(), "nobody") is None
