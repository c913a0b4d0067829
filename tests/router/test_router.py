"""The router: the first backend that can answers, failures fall over only while that is safe."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from runner.errors import (
    BudgetError,
    BusyError,
    ContextLengthError,
    EngineCrashedError,
    EngineLoadError,
    InvalidRequestError,
    NoRouteError,
    RunnerError,
    UpstreamError,
    UpstreamRateLimitedError,
)
from runner.ledger import AnswerRow, Price, Verdict
from runner.router import Hooks, Router, Rules
from runner.router.router import Answer
from runner.types import (
    Event,
    Finished,
    ReasoningDelta,
    ResponseFormat,
    TextDelta,
    ToolCallDelta,
    Usage,
)
from tests.router.scripted import (
    DONE,
    READY,
    TOO_LARGE,
    ScriptedBackend,
    ScriptedHosted,
    chat,
    says,
)

EVERYTHING = Rules(
    fallback_on=frozenset(
        {"does_not_fit", "not_installed", "load_failed", "crashed", "busy", "context"}
    )
)
CUT = UpstreamError("the connection was cut; try again", provider="openrouter")
TALE = "Once upon a time there was a fox who "


async def never_sleep(delay_s: float) -> None:
    await asyncio.sleep(0)


def router(
    local: ScriptedBackend | None,
    *hosted: ScriptedHosted,
    rules: Rules = EVERYTHING,
    hooks: Hooks | None = None,
) -> Router:
    return Router(local, hosted, rules, hooks or Hooks(sleep=never_sleep))


async def collect(answer: Answer) -> list[Event]:
    return [event async for event in answer.events]


def text_of(events: list[Event]) -> str:
    return "".join(event.text for event in events if isinstance(event, TextDelta))


async def test_an_answer_from_this_machine_costs_nothing_and_says_what_was_avoided() -> None:
    rows: list[AnswerRow] = []
    hooks = Hooks(reference_price=lambda model: Price(1, 3), on_answered=rows.append)
    answer = await router(ScriptedBackend([says("a", "b")]), hooks=hooks).answer(chat())
    assert text_of(await collect(answer)) == "ab"
    route = answer.route.snapshot()
    assert (route.served_by, route.quantization, route.cost_usd) == ("local", "Q4_K_M", 0.0)
    assert route.cost_avoided_usd == pytest.approx(19e-6)
    assert [(a.backend, a.outcome) for a in route.attempts] == [("local", "ok")]
    assert [(row.outcome, row.avoided_nusd) for row in rows] == [("ok", 19_000)]


async def test_the_record_is_final_when_the_last_event_arrives() -> None:
    answer = await router(ScriptedBackend([says("a")])).answer(chat())
    async for event in answer.events:
        if isinstance(event, Finished):
            seen = answer.route.snapshot()
    assert seen == answer.route.snapshot()
    assert seen.attempts[0].outcome == "ok"


async def test_errors_before_the_first_event_are_raised_by_answer() -> None:
    with pytest.raises(EngineLoadError):
        await router(ScriptedBackend([[EngineLoadError("bad weights")]])).answer(chat())


async def test_a_slow_first_event_returns_the_answer_and_goes_on_waiting() -> None:
    gate = asyncio.Event()
    local = ScriptedBackend([[gate, *says("late")]])
    answer = await router(local).answer(chat(), headers_after_s=0.01)
    gate.set()
    assert text_of(await collect(answer)) == "late"


@pytest.mark.parametrize(
    "error",
    [
        EngineLoadError("no"),
        EngineCrashedError("signal 6"),
        BusyError("full", retry_after_s=2),
        ContextLengthError(9000, 8192),
    ],
)
async def test_a_local_failure_falls_over_only_when_its_cause_is_named(error: RunnerError) -> None:
    hosted = ScriptedHosted([says("from afar")])
    answer = await router(ScriptedBackend([[error]]), hosted).answer(chat())
    assert text_of(await collect(answer)) == "from afar"
    assert answer.served_by == "openrouter"
    assert [a.outcome for a in answer.route.attempts] == ["failed", "ok"]
    untouched = ScriptedHosted([says("never")])
    with pytest.raises(type(error)):
        await router(ScriptedBackend([[error]]), untouched, rules=Rules()).answer(chat())
    assert not untouched.requests


async def test_a_clients_own_mistake_never_falls_over() -> None:
    hosted = ScriptedHosted([says("never")])
    with pytest.raises(InvalidRequestError):
        local = ScriptedBackend([[InvalidRequestError("bad", param="top_p")]])
        await router(local, hosted).answer(chat())
    assert not hosted.requests


async def test_overflow_hosted_lets_a_long_prompt_leave_without_the_setting() -> None:
    hosted = ScriptedHosted([says("long")])
    local = ScriptedBackend([[ContextLengthError(9000, 8192)]])
    answer = await router(local, hosted, rules=Rules()).answer(chat(overflow="hosted"))
    assert text_of(await collect(answer)) == "long"


async def test_the_next_provider_is_asked_when_the_first_one_fails() -> None:
    first = ScriptedHosted([[CUT]], name="cheap", price=Price(0.1, 0.1))
    second = ScriptedHosted([says("ok")], name="dear")
    answer = await router(None, first, second).answer(chat())
    assert text_of(await collect(answer)) == "ok"
    assert [(a.backend, a.outcome) for a in answer.route.attempts] == [
        ("cheap", "failed"),
        ("dear", "ok"),
    ]


async def test_the_same_provider_is_asked_again_only_within_the_attempt_budget() -> None:
    hosted = ScriptedHosted([[CUT]], verdict=Verdict("same"))
    with pytest.raises(UpstreamError):
        await router(None, hosted).answer(chat())
    assert len(hosted.requests) == 3


async def test_a_final_verdict_asks_nobody_else() -> None:
    first = ScriptedHosted([[CUT]], verdict=Verdict("never"), price=Price(0, 0))
    second = ScriptedHosted([says("never")], name="looser")
    with pytest.raises(UpstreamError):
        await router(None, first, second).answer(chat())
    assert not second.requests


async def test_a_lowered_max_tokens_is_used_for_the_next_try() -> None:
    hosted = ScriptedHosted([[CUT], says("ok")], verdict=Verdict("same", max_tokens=7))
    await collect(await router(None, hosted).answer(chat(max_tokens=100)))
    assert [request.max_tokens for request in hosted.requests] == [100, 7]


async def test_all_providers_rate_limited_is_told_as_that() -> None:
    limited = UpstreamRateLimitedError("slow down", provider="x", retry_after_s=5)
    backends = [ScriptedHosted([[limited]], name=name) for name in "ab"]
    with pytest.raises(UpstreamRateLimitedError):
        await router(None, *backends).answer(chat())
    mixed = [ScriptedHosted([[CUT]], name="a"), ScriptedHosted([[limited]], name="b")]
    with pytest.raises(UpstreamError) as caught:
        await router(None, *mixed).answer(chat())
    assert not isinstance(caught.value, UpstreamRateLimitedError)


async def test_a_budget_lost_in_the_last_moment_is_no_route() -> None:
    hosted = ScriptedHosted([[BudgetError("over the daily budget")]])
    with pytest.raises(NoRouteError) as caught:
        await router(None, hosted).answer(chat())
    assert "over the daily budget" in caught.value.reasons[0]


async def test_nothing_is_asked_again_after_content_when_the_seam_is_unsafe() -> None:
    for events, fields in (
        ([ReasoningDelta("hmm")], {}),
        ([ToolCallDelta(0, "c1", "look"), ToolCallDelta(0, arguments='{"a"')], {}),
        ([TextDelta('{"a":')], {"response_format": ResponseFormat("json_object")}),
    ):
        first = ScriptedHosted([[*events, CUT]], price=Price(0, 0))
        second = ScriptedHosted([says("never")], name="second")
        answer = await router(None, first, second).answer(chat(**fields))
        with pytest.raises(UpstreamError):
            await collect(answer)
        assert not second.requests
        assert answer.route.attempts[0].outcome == "cut"


async def test_a_stream_cut_in_plain_text_goes_on_elsewhere_without_repeating_itself() -> None:
    first = ScriptedHosted([[TextDelta(TALE), CUT]], name="first", price=Price(0, 0))
    rest = ["there was a fox ", "who ran."]
    second = ScriptedHosted([says(*rest, finish=Finished("stop", Usage(30, 5)))], name="second")
    answer = await router(None, first, second).answer(chat(max_tokens=100))
    events = await collect(answer)
    assert text_of(events) == TALE + "ran."
    assert [type(event) for event in events].count(Finished) == 1
    asked = second.requests[0]
    assert asked.prompt.messages[-1].content == TALE  # type: ignore[union-attr]
    assert asked.prompt.continue_final_message  # type: ignore[union-attr]
    assert asked.max_tokens == 100 - 10
    assert events[-1].usage == Usage(20, 15, cost_usd=None)  # type: ignore[union-attr]
    assert any(reason.startswith("seam: first was cut") for reason in answer.route.call.reasons)


async def test_a_crash_here_goes_on_elsewhere_only_if_crashes_may_leave() -> None:
    crash = EngineCrashedError("signal 9; try again")
    local = ScriptedBackend([[TextDelta(TALE), crash]])
    answer = await router(local, ScriptedHosted([says("ran.")])).answer(chat())
    assert text_of(await collect(answer)) == TALE + "ran."
    for rules in (Rules(), replace(EVERYTHING, continue_streams=False)):
        hosted = ScriptedHosted([says("never")])
        local = ScriptedBackend([[TextDelta(TALE), crash]])
        answer = await router(local, hosted, rules=rules).answer(chat())
        with pytest.raises(EngineCrashedError):
            await collect(answer)
        assert not hosted.requests


async def test_a_stream_that_ends_without_finishing_is_a_failure() -> None:
    local = ScriptedBackend([[TextDelta("half")]])
    answer = await router(local).answer(chat())
    with pytest.raises(RunnerError, match="without finishing"):
        await collect(answer)


@pytest.mark.parametrize("num_taken", [0, 1])
async def test_closing_the_answer_cancels_whoever_is_answering(num_taken: int) -> None:
    local = ScriptedBackend([[TextDelta("a"), asyncio.Event(), DONE]])
    rows: list[AnswerRow] = []
    answer = await router(local, hooks=Hooks(on_answered=rows.append)).answer(chat())
    for _ in range(num_taken):
        await anext(answer.events)
    await answer.aclose()
    assert local.num_open == 0
    assert [row.outcome for row in rows] == ["cancelled"]
    assert answer.route.attempts[0].outcome == "cancelled"


async def test_cancelling_the_wait_for_the_first_event_closes_the_backend() -> None:
    local = ScriptedBackend([[asyncio.Event(), DONE]])
    waiting = asyncio.create_task(router(local).answer(chat()))
    while not local.num_open:
        await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert local.num_open == 0


async def test_explaining_asks_nobody() -> None:
    local, hosted = ScriptedBackend([says("a")], state=TOO_LARGE), ScriptedHosted([says("b")])
    decision = router(local, hosted).explain(chat())
    assert [choice.backend for choice in decision.choices] == ["openrouter"]
    assert not local.requests and not hosted.requests


async def test_nobody_left_is_no_route_with_what_could_run_here() -> None:
    hooks = Hooks(alternatives=lambda request: ("hermes-3-8b",))
    local = ScriptedBackend([says("a")], state=TOO_LARGE)
    with pytest.raises(NoRouteError) as caught:
        await router(local, hooks=hooks).answer(chat())
    assert caught.value.alternatives == ("hermes-3-8b",)
    assert READY.reason not in str(caught.value)
