"""The policy: same facts, same decision, and everyone is either a choice or rejected with words."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.backend import BackendStatus
from runner.errors import NoRouteError, UnsupportedParameterError, UpstreamRateLimitedError
from runner.ledger import Price, Quote
from runner.router.policy import Rules, decide, no_route
from tests.router.scripted import READY, TOO_LARGE, chat

CAUSES = ("does_not_fit", "not_installed", "load_failed", "crashed", "busy", "context")


def quote(provider: str = "openrouter", **fields: object) -> Quote:
    defaults: dict[str, object] = {
        "provider": provider,
        "model_id": "nousresearch/hermes-4-70b",
        "max_tokens": 100,
        "price": Price(1, 3),
        "worst_nusd": 400_000,
    }
    return Quote(**(defaults | fields))  # type: ignore[arg-type]


def order(decision: object) -> list[str]:
    return [choice.backend for choice in decision.choices]  # type: ignore[attr-defined]


def test_local_comes_first_when_it_can_be_held_here() -> None:
    assert order(decide(chat(), READY, [quote()], Rules())) == ["local", "openrouter"]


def test_what_does_not_fit_goes_to_the_hosted_provider() -> None:
    decision = decide(chat(), TOO_LARGE, [quote()], Rules())
    assert order(decision) == ["openrouter"]
    assert decision.rejected[0].reasons == ("needs 231 GB, has 16 GB",)


def test_a_model_without_weights_for_this_machine_counts_as_too_large() -> None:
    assert order(decide(chat(), None, [quote()], Rules())) == ["openrouter"]
    kept = decide(chat(), None, [quote()], Rules(fallback_on=frozenset({"busy"})))
    assert order(kept) == []


@pytest.mark.parametrize("cause", CAUSES[:4])
def test_only_the_named_causes_send_a_request_away(cause: str) -> None:
    status = BackendStatus("unavailable", "cannot", cause=cause)
    allowed = Rules(fallback_on=frozenset({cause}))
    others = Rules(fallback_on=frozenset(CAUSES) - {cause})
    assert order(decide(chat(), status, [quote()], allowed)) == ["openrouter"]
    refused = decide(chat(), status, [quote()], others)
    assert order(refused) == []
    assert f"does not name '{cause}'" in str(no_route(refused))


def test_the_wish_for_local_keeps_everything_here() -> None:
    decision = decide(chat(route="local"), TOO_LARGE, [quote()], Rules())
    assert order(decision) == []
    assert isinstance(no_route(decision), NoRouteError)


def test_the_wish_for_hosted_needs_no_cause() -> None:
    assert order(decide(chat(route="hosted"), READY, [quote()], Rules(frozenset()))) == [
        "openrouter"
    ]


def test_a_busy_machine_comes_last_when_busy_may_fall_over() -> None:
    busy = BackendStatus("ready", "queue is full", cause="busy")
    rules = Rules(fallback_on=frozenset({"busy"}))
    assert order(decide(chat(), busy, [quote()], rules)) == ["openrouter", "local"]


def test_a_busy_machine_keeps_its_place_when_busy_may_not_fall_over() -> None:
    busy = BackendStatus("ready", "queue is full", cause="busy")
    decision = decide(chat(), busy, [quote()], Rules())
    assert order(decision) == ["local", "openrouter"]
    assert "busy" not in decision.fallback_on


@pytest.mark.parametrize(
    ("sort", "first"), [("price", "cheap"), ("latency", "quick"), ("throughput", "fast")]
)
def test_providers_are_sorted_as_the_settings_say(sort: str, first: str) -> None:
    quotes = [
        quote("cheap", worst_nusd=1, latency_s=3.0, tokens_per_s=10.0),
        quote("quick", worst_nusd=2, latency_s=0.1, tokens_per_s=20.0),
        quote("fast", worst_nusd=3, latency_s=2.0, tokens_per_s=90.0),
    ]
    assert order(decide(chat(), None, quotes, Rules(sort=sort)))[0] == first  # type: ignore[arg-type]


def test_a_degraded_provider_comes_after_the_healthy_ones() -> None:
    quotes = [quote("cheap", worst_nusd=1, is_degraded=True), quote("sound", worst_nusd=9)]
    assert order(decide(chat(), None, quotes, Rules())) == ["sound", "cheap"]


def test_without_a_route_the_error_names_the_reasons_the_price_and_what_could_run_here() -> None:
    lacking = quote(refusals=("no key; set OPENROUTER_API_KEY",))
    error = no_route(decide(chat(), TOO_LARGE, [lacking], Rules()), ("hermes-3-8b",))
    assert isinstance(error, NoRouteError)
    assert "openrouter: no key; set OPENROUTER_API_KEY" in error.reasons
    assert any("would have cost at most $0.000400" in reason for reason in error.reasons)
    assert error.alternatives == ("hermes-3-8b",)


def test_strict_refuses_what_would_be_emulated_and_names_the_parameter() -> None:
    decision = decide(chat(strict=True), None, [quote(emulated=("tools",))], Rules())
    error = no_route(decision)
    assert isinstance(error, UnsupportedParameterError)
    assert error.param == "tools"


def test_when_all_that_stands_in_the_way_is_a_cooldown_the_error_says_when_to_retry() -> None:
    quotes = [
        quote("a", refusals=("left alone for 9 s",), cooldown_s=9.0),
        quote("b", refusals=("left alone for 4 s",), cooldown_s=4.0),
        quote("c", refusals=("no key",)),
    ]
    error = no_route(decide(chat(), None, quotes, Rules()))
    assert isinstance(error, UpstreamRateLimitedError)
    assert error.retry_after_s == 4.0


@given(
    route=st.sampled_from(["auto", "local", "hosted"]),
    readiness=st.sampled_from(["ready", "loading", "loadable", "unavailable", None]),
    cause=st.sampled_from([None, *CAUSES]),
    allowed=st.frozensets(st.sampled_from(CAUSES)),
    refused=st.lists(st.booleans(), max_size=4),
    is_strict=st.booleans(),
)
def test_everyone_is_chosen_or_rejected_with_words_and_nothing_leaves_against_the_settings(
    route: str,
    readiness: str | None,
    cause: str | None,
    allowed: frozenset[str],
    refused: list[bool],
    is_strict: bool,
) -> None:
    status = readiness and BackendStatus(readiness, "because", cause=cause)  # type: ignore[arg-type]
    quotes = [
        quote(f"p{number}", refusals=("no key",) if no else ()) for number, no in enumerate(refused)
    ]
    request = chat(route=route, strict=is_strict)
    decision = decide(request, status or None, quotes, Rules(fallback_on=allowed))
    named = [entry.backend for entry in (*decision.choices, *decision.rejected)]
    assert sorted(named) == sorted(["local", *(quote.provider for quote in quotes)])
    assert all(entry.reasons for entry in (*decision.choices, *decision.rejected))
    hosted = [choice for choice in decision.choices if choice.backend != "local"]
    assert not any(choice.quote and choice.quote.refusals for choice in hosted)
    if route == "local" or (route == "auto" and not allowed):
        assert not hosted
    if readiness == "unavailable" and cause and cause not in allowed and route == "auto":
        assert not hosted
    assert decision == decide(request, status or None, quotes, Rules(fallback_on=allowed))


def test_every_mix_of_wish_and_state_has_an_error_or_a_choice() -> None:
    for route, state in product(("auto", "local", "hosted"), (READY, TOO_LARGE, None)):
        decision = decide(chat(route=route), state, [], Rules())
        assert decision.choices or str(no_route(decision))
