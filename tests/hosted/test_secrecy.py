"""Nothing leaves that should not: offline, redirects, keys and prompts."""

from __future__ import annotations

import logging
import socket
import traceback
from pathlib import Path

import pytest

from runner.config import HostedSettings
from runner.errors import NoRouteError, UpstreamError
from runner.ledger import Budget, Ledger
from tests.fakes.openrouter import FAULTS, KEY, FakeOpenRouter, Scenario
from tests.hosted.house import PATIENT, ask, house, tell

CANARY = "CANARY-PROMPT-7361 is what only the prompt says"


async def test_offline_no_request_and_no_name_lookup_leaves(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with house(offline=True) as setup:

        def forbidden(*args: object, **kwargs: object) -> None:
            raise AssertionError("something tried to reach the network")

        monkeypatch.setattr(socket, "getaddrinfo", forbidden)
        for fields in ({}, {"route": "hosted"}, {"max_cost_usd": 1.0}):
            told = await tell(setup, ask(**fields))
            assert isinstance(told.error, NoRouteError)
            assert "offline" in str(told.error)
            setup.router.explain(ask(**fields))
        await setup.backends["openrouter"].start()
        assert await setup.backends["openrouter"].reconcile() == 0
        assert setup.fake.journal == []


async def test_without_a_key_the_error_says_what_is_missing_what_it_would_cost_and_what_runs() -> (
    None
):
    async with house(key="") as setup:
        told = await tell(setup, ask())
        assert isinstance(told.error, NoRouteError)
        reasons = " ".join(told.error.reasons)
        assert "set OPENROUTER_API_KEY" in reasons
        assert "would have cost at most $0.0" in reasons
        assert told.error.alternatives == ("hermes-3-8b",)
        assert setup.fake.journal == []


async def test_a_redirect_is_refused_and_the_key_stays_at_home() -> None:
    async with FakeOpenRouter().serve() as elsewhere, house() as setup:
        headers = (("Location", f"{elsewhere.base_url}/chat/completions"),)
        for status in (301, 302, 303, 307, 308):
            setup.fake.play(Scenario(status=status, body=b"", headers=headers))
            told = await tell(setup, ask())
            assert isinstance(told.error, UpstreamError)
        assert elsewhere.journal == []


async def test_a_key_goes_to_its_own_host_only() -> None:
    async with house("openrouter", "nous") as setup:
        await tell(setup, ask())
        setup.fakes["nous"].play("F12-close")
        await tell(setup, ask())
        for fake in setup.fakes.values():
            for post in fake.posts:
                assert post.headers["authorization"] == f"Bearer {KEY}"
                assert KEY not in post.path and KEY.encode() not in post.body
                assert not {"referer", "http-referer", "x-title"} & set(post.headers)


async def test_a_key_is_never_sent_in_the_clear_over_a_network() -> None:
    async with house() as setup:
        setup.backends["openrouter"].provider.base_url = "http://192.0.2.1/api/v1"
        told = await tell(setup, ask())
        assert isinstance(told.error, NoRouteError)
        assert "show the key" in str(told.error)


async def test_no_canary_is_found_in_logs_errors_traces_or_the_database(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    ledger = Ledger.open(tmp_path, Budget())
    leaky = {"error": {"code": 400, "message": f"bad key {KEY} in {CANARY}", "metadata": {}}}
    async with house(ledger=ledger) as setup:
        scenarios = [one for name, one in FAULTS.items() if not name.startswith(("F13", "F14"))]
        for scenario in [*scenarios, Scenario(status=500, body=leaky)]:
            setup.fake.play(scenario)
            told = await tell(setup, ask(CANARY))
            for error in (told.error,) if told.error else ():
                shown = "".join(traceback.format_exception(error)) + repr(error)
                assert "CANARY" not in shown
            if told.answer:
                assert "CANARY" not in repr(told.answer.route.snapshot())
        await ledger.flush()
        stored = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert b"CANARY" not in stored and KEY.encode() not in stored
    assert "CANARY" not in caplog.text and KEY not in caplog.text


async def test_privacy_is_the_same_on_every_try() -> None:
    settings = PATIENT.model_copy(update={"zdr": True, "only": ("nebius",)})
    async with house(settings=settings) as setup:
        setup.fake.play("F08-502", "F15-rst")
        await tell(setup, ask())
        wishes = [post.json["provider"] for post in setup.fake.posts]
        assert len(wishes) == 3
        assert all(wish == wishes[0] for wish in wishes)
        assert wishes[0]["data_collection"] == "deny"
        assert (wishes[0]["zdr"], wishes[0]["only"]) == (True, ["nebius"])


async def test_hosts_without_privacy_switches_are_passed_over_when_they_are_needed() -> None:
    settings = HostedSettings(zdr=True)
    async with house("nous", "openrouter", settings=settings) as setup:
        told = await tell(setup, ask())
        assert told.answer and told.answer.served_by == "openrouter"
        assert not setup.fakes["nous"].posts
