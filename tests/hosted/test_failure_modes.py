"""Every failure mode ends as it should, in every wire variant, with the books in order."""

from __future__ import annotations

import asyncio
import json
import os
import random
from dataclasses import dataclass, replace

import pytest

from runner.config import HostedSettings
from runner.errors import (
    InvalidRequestError,
    NoRouteError,
    RunnerError,
    UpstreamError,
    UpstreamRateLimitedError,
)
from runner.ledger import Budget, to_nusd
from runner.router import Rules
from runner.types import GenerateRequest
from tests.fakes.openrouter import (
    FAULTS,
    KEY,
    TALE,
    TOOL_FORMS,
    WIRES,
    Scenario,
    Wire,
    random_wire,
)
from tests.hosted.house import IMPATIENT, LOOK, PATIENT, Setup, Told, ask, house, tell

MAX_ATTEMPTS = 3
START = " ".join(TALE.split()[:3])
STALLS = ("F13-silence", "F13-comments", "F13-no-headers", "F14-stall", "F14-stall-comments")
CANARY = "CANARY-PROMPT-7361 is what only the prompt says"


@dataclass(frozen=True)
class Expected:
    """How one failure mode ends."""

    num_posts: int = 1
    text: str | None = TALE
    error: type[RunnerError] | None = None
    words: str = ""
    reasoning: str | None = None
    is_uncertain: bool = False


RETRIED = Expected(num_posts=2)
DOUBTED = Expected(num_posts=2, is_uncertain=True)
PARTIAL = Expected(text=START, error=UpstreamError, is_uncertain=True)


def refused(words: str = "", error: type[RunnerError] = UpstreamError) -> Expected:
    return Expected(text="", error=error, words=words)


TABLE: dict[str, Expected] = {
    "F01-401": refused("No auth credentials"),
    "F01-403": refused("disabled"),
    "F02-402-nothing": refused("Insufficient credits"),
    "F03-moderation": refused("violence"),
    "F03-guardrail": refused("guardrail"),
    "F05-privacy": refused("data_policy:training"),
    "F05-constraint": refused("max_price"),
    "F06-free-ended": refused("paid/model"),
    "F06-deprecated": refused("new/model"),
    "F07-429-own": RETRIED,
    "F07-429-upstream": RETRIED,
    "F07-429-availability": RETRIED,
    "F07-429-date": RETRIED,
    "F07-429-zero": RETRIED,
    "F07-429-hour": refused("slow down", UpstreamRateLimitedError),
    "F08-500": RETRIED,
    "F08-502": RETRIED,
    "F08-503": RETRIED,
    "F08-529": RETRIED,
    "F08-504": DOUBTED,
    "F08-524": DOUBTED,
    "F08-408": DOUBTED,
    "F09-413": refused("too large", InvalidRequestError),
    "F09-422": refused("Unprocessable", InvalidRequestError),
    "F09-context": refused("maximum context length", InvalidRequestError),
    "F10-200-error": RETRIED,
    "F11-choice-error": replace(PARTIAL, words="Provider disconnected"),
    "F12-close": DOUBTED,
    "F12-reset": DOUBTED,
    "F13-silence": DOUBTED,
    "F13-comments": DOUBTED,
    "F13-no-headers": DOUBTED,
    "F14-stall": DOUBTED,
    "F14-stall-comments": DOUBTED,
    "F15-fin": DOUBTED,
    "F15-rst": DOUBTED,
    "F15-clean": DOUBTED,
    "F15-unterminated": DOUBTED,
    "F15-first-byte": DOUBTED,
    "F16-with-choice": replace(PARTIAL, words="Provider disconnected"),
    "F16-empty-choices": replace(PARTIAL, words="Provider disconnected"),
    "F16-string-code": replace(PARTIAL, words="it broke"),
    "F16-no-metadata": replace(PARTIAL, words="it broke"),
    "F17-bad-json": Expected(),
    "F17-bom": Expected(),
    "F17-other-fields": Expected(),
    "F17-null-chunk": Expected(),
    "F17-multi-line": Expected(),
    "F17-huge-line": DOUBTED,
    "F18-early-error": RETRIED,
    "F20-only-reasoning": Expected(text="", reasoning="All in my head."),
    "F20-both-fields": Expected(reasoning="Let me think."),
    "F20-tags": Expected(reasoning="Let me think."),
    "F20-open-tags": Expected(text="", reasoning="Let me think."),
    "F22-other-model": Expected(),
    "F23-null": Expected(is_uncertain=True),
    "F23-zero": Expected(),
    "F23-string": Expected(),
    "F23-huge-prompt": Expected(),
    "F25-captive-portal": DOUBTED,
    "F26-redirect": refused("302"),
    "F28-cache-hit": Expected(),
    "F29-gzip-stream": Expected(),
    "F29-gzip-bomb": RETRIED,
    "F29-brotli": DOUBTED,
}


async def check_invariants(setup: Setup, told: Told) -> None:
    """What holds after every request, however it went."""
    assert (told.finished is None) is not (told.error is None)
    assert len(setup.fake.posts) <= MAX_ATTEMPTS
    for post in setup.fake.posts:
        assert post.json["max_tokens"] > 0
        if setup.fake.profile.name == "openrouter":
            assert post.json["provider"]["data_collection"] == "deny"
    if told.error is not None:
        assert KEY not in str(told.error)
        assert "CANARY" not in str(told.error)
    await check_books(setup)


async def check_books(setup: Setup) -> None:
    """The ledger equals the bill, or lists the difference as uncertain."""
    totals = (await setup.ledger.usage()).totals
    billed = sum(fake.billed_nusd for fake in setup.fakes.values())
    difference = billed - to_nusd(totals.cost_usd)
    assert 0 <= difference <= to_nusd(totals.cost_uncertain_usd)
    assert totals.cost_reserved_usd == 0


@pytest.mark.parametrize(
    ("name", "wire"),
    [
        pytest.param(name, wire, id=f"{name}-{wire.usage}-{wire.split}")
        for name in TABLE
        for wire in WIRES
    ],
)
async def test_a_failure_mode_ends_as_the_table_says(name: str, wire: Wire) -> None:
    expected = TABLE[name]
    settings = IMPATIENT if name in STALLS else PATIENT
    async with house(default=Scenario(wire=wire), settings=settings) as setup:
        setup.fake.play(FAULTS[name].on(wire))
        told = await tell(setup, ask(CANARY))
        await check_invariants(setup, told)
        assert isinstance(told.error, expected.error or type(None))
        assert expected.words in str(told.error)
        assert len(setup.fake.posts) == expected.num_posts
        assert told.text == expected.text
        assert expected.reasoning in (None, told.reasoning)
        totals = (await setup.ledger.usage()).totals
        assert (totals.cost_uncertain_usd > 0) is expected.is_uncertain


@pytest.mark.parametrize("wire", [*WIRES, Wire(usage="missing")], ids=lambda wire: wire.usage)
async def test_a_sound_answer_is_the_same_in_every_wire_variant(wire: Wire) -> None:
    async with house(default=Scenario(wire=wire)) as setup:
        told = await tell(setup, ask())
        await check_invariants(setup, told)
        assert told.text == TALE
        assert told.finished and told.finished.reason == "stop"
        is_named = wire.usage != "missing"
        assert (told.finished.usage.cost_usd is not None) is is_named
        assert told.finished.usage.completion_tokens >= len(TALE.split())


@pytest.mark.parametrize("wire", WIRES, ids=lambda wire: wire.usage)
@pytest.mark.parametrize("form", TOOL_FORMS)
async def test_native_tool_calls_are_assembled_or_refused(form: str, wire: Wire) -> None:
    async with house("nebius") as setup:
        setup.fake.play(FAULTS[f"F19-{form}"].on(wire))
        told = await tell(setup, ask(tools=(LOOK,)))
        await check_invariants(setup, told)
        if form == "cut_arguments":
            assert isinstance(told.error, UpstreamError)
            assert len(setup.fake.posts) == 1
            return
        calls = [("look", '{"at": "sky"}')] * (2 if form == "same_index" else 1)
        assert list(told.calls) == calls
        assert told.finished and told.finished.reason == "tool_calls"


@pytest.mark.parametrize("wire", WIRES, ids=lambda wire: wire.usage)
@pytest.mark.parametrize(("name", "places"), [("one", ["sky"]), ("two", ["sky", "sea"])])
async def test_calls_leaked_as_text_come_out_as_calls(
    name: str, places: list[str], wire: Wire
) -> None:
    async with house("nous") as setup:
        setup.fake.play(FAULTS[f"F21-{name}"].on(wire))
        told = await tell(setup, ask(tools=(LOOK,)))
        await check_invariants(setup, told)
        assert [json.loads(arguments) for _, arguments in told.calls] == [
            {"at": place} for place in places
        ]
        assert told.text == ""


async def test_a_leaked_call_in_bad_json_is_read_leniently_or_refused() -> None:
    async with house("nous") as setup:
        setup.fake.play("F21-bad-json")
        told = await tell(setup, ask(tools=(LOOK,)))
        await check_invariants(setup, told)
        for _, arguments in told.calls if told.error is None else ():
            json.loads(arguments)


async def test_a_402_lowers_max_tokens_once_if_the_caller_set_none() -> None:
    async with house() as setup:
        setup.fake.play("F02-402")
        told = await tell(setup, ask(max_tokens=None, given=frozenset()))
        assert [post.json["max_tokens"] for post in setup.fake.posts] == [4096, 20]
        assert told.finished and told.finished.reason == "length"
        await check_invariants(setup, told)
    async with house() as setup:
        setup.fake.play("F02-402")
        told = await tell(setup, ask(max_tokens=100))
        assert len(setup.fake.posts) == 1
        assert isinstance(told.error, UpstreamError)
        assert "can only afford 20" in str(told.error)


async def test_a_host_that_turns_out_to_have_no_tools_gets_them_as_a_prompt() -> None:
    async with house("nebius") as setup:
        setup.fake.play("F04-no-tools")
        told = await tell(setup, ask(tools=(LOOK,)))
        assert told.calls == (("look", '{"at": "sky"}'),)
        first, second = setup.fake.posts
        assert "tools" in first.json and "tools" not in second.json
        assert told.answer and "tools" in told.answer.route.emulated


async def test_a_refused_connection_is_tried_within_the_budget_and_costs_nothing() -> None:
    async with house() as setup:
        setup.backends["openrouter"].provider.base_url = "http://127.0.0.1:1/api/v1"
        told = await tell(setup, ask())
        assert isinstance(told.error, UpstreamError)
        assert "could not be reached" in str(told.error)
        totals = (await setup.ledger.usage()).totals
        assert (totals.cost_usd, totals.cost_uncertain_usd) == (0, 0)


async def test_an_hour_of_rate_limit_is_a_cooldown_not_a_wait() -> None:
    async with house() as setup:
        setup.fake.play("F07-429-hour")
        await tell(setup, ask())
        told = await tell(setup, ask())
        assert isinstance(told.error, UpstreamRateLimitedError)
        assert told.error.retry_after_s == pytest.approx(3600, abs=30)
        assert len(setup.fake.posts) == 1
        assert not setup.sleeps


async def test_a_key_that_is_refused_opens_the_breaker_with_the_words_to_show() -> None:
    async with house() as setup:
        setup.fake.play("F01-401")
        await tell(setup, ask())
        told = await tell(setup, ask())
        assert isinstance(told.error, NoRouteError)
        assert "No auth credentials found" in str(told.error)
        assert len(setup.fake.posts) == 1


async def test_moderation_is_final_even_when_a_looser_host_waits() -> None:
    async with house("openrouter", "nous") as setup:
        setup.fakes["nous"].play("F03-moderation")
        told = await tell(setup, ask(CANARY))
        assert isinstance(told.error, UpstreamError)
        assert "CANARY" not in str(told.error)
        assert not setup.fakes["openrouter"].posts


async def test_the_next_provider_answers_when_the_first_one_is_down() -> None:
    async with house("openrouter", "nous") as setup:
        setup.fakes["nous"].play("F12-close")
        told = await tell(setup, ask())
        assert told.text == TALE
        assert told.answer
        assert [a.backend for a in told.answer.route.attempts] == ["nous", "openrouter"]


async def test_somebody_else_answering_is_flagged() -> None:
    async with house() as setup:
        setup.fake.play("F22-other-model")
        told = await tell(setup, ask())
        assert "somebody/else answered" in told.reasons


@pytest.mark.parametrize(("name", "is_billed_on"), [("nebius", True), ("openrouter", False)])
async def test_a_client_who_leaves_closes_the_upstream_and_the_cost_stays_uncertain(
    name: str, is_billed_on: bool
) -> None:
    wire = Wire(split="byte")
    async with house(name, default=Scenario(wire=wire)) as setup:
        answer = await setup.router.answer(ask())
        await anext(answer.events)
        await answer.aclose()
        while setup.fake.num_open:
            await asyncio.sleep(0.01)
        [post] = setup.fake.posts
        assert post.gone_at_s is not None
        await setup.ledger.flush()
        totals = (await setup.ledger.usage()).totals
        assert 0 < to_nusd(totals.cost_uncertain_usd) >= post.billed_nusd
        assert setup.fake.profile.stops_billing is not is_billed_on


async def test_a_connection_is_used_again_after_a_whole_answer() -> None:
    async with house() as setup:
        for _ in range(3):
            assert (await tell(setup, ask())).text == TALE
        assert setup.fake.num_connections == 1


async def test_an_aborted_stream_does_not_leak_into_the_next_answer() -> None:
    async with house() as setup:
        answer = await setup.router.answer(ask())
        await anext(answer.events)
        await answer.aclose()
        assert (await tell(setup, ask())).text == TALE


NUM_MIXES = int(os.environ.get("HOSTED_TEST_MIXES", "60"))


async def test_random_mixes_end_in_one_terminal_form_and_the_books_agree() -> None:
    rng = random.Random(20261120)
    names = sorted(set(FAULTS) - {"F17-huge-line"})
    quick = replace_timers(0.15)
    async with house("openrouter", "nebius", settings=quick, budget=Budget()) as setup:
        num_seen = 0
        for _ in range(NUM_MIXES):
            for fake in setup.fakes.values():
                fake.queue.clear()
                fake.default = Scenario(wire=random_wire(rng))
                for _ in range(rng.randint(0, 3)):
                    name = rng.choice(names)
                    if name in STALLS and rng.random() < 0.9:
                        name = rng.choice(("F15-rst", "F15-fin"))
                    fake.play(FAULTS[name].on(random_wire(rng)))
            told = await tell(setup, random_request(rng))
            assert (told.finished is None) is not (told.error is None)
            num_posts = sum(len(fake.posts) for fake in setup.fakes.values())
            assert num_posts - num_seen <= MAX_ATTEMPTS
            num_seen = num_posts
            if told.finished and told.finished.reason == "tool_calls":
                assert all(json.loads(arguments) for _, arguments in told.calls)
            setup.clock.skipped_s += 10_000  # cooldowns and breakers of one mix are not the next's
        await check_books(setup)
        before = (await setup.ledger.usage()).totals
        for fake in setup.fakes.values():
            fake.generation_after = 0
        await setup.backends["openrouter"].reconcile()
        await check_books(setup)
        after = (await setup.ledger.usage()).totals
        assert after.requests >= NUM_MIXES * 0.5
        assert after.cost_uncertain_usd < before.cost_uncertain_usd


def replace_timers(timeout_s: float) -> HostedSettings:
    return IMPATIENT.model_copy(
        update={"first_token_timeout_s": timeout_s, "idle_timeout_s": timeout_s}
    )


def random_request(rng: random.Random) -> GenerateRequest:
    fields: dict[str, object] = {"max_tokens": rng.choice((5, 50, 200))}
    if rng.random() < 0.3:
        fields["tools"] = (LOOK,)
    if rng.random() < 0.2:
        fields["stop"] = ("lazy dog",)
    return ask("Tell me a tale.", **fields)


def test_the_table_names_every_fault_of_the_fake() -> None:
    handled = {"F02-402", "F04-no-tools", "F21-bad-json"}
    rest = set(FAULTS) - set(TABLE) - handled
    assert all(name.startswith(("F19-", "F21-")) for name in rest)
    assert Rules().max_attempts == MAX_ATTEMPTS
