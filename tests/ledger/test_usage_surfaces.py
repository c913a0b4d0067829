"""Usage as the endpoint and the command show it: the contract's names, the ledger's sums."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path

import httpx
import pytest
import typer
from fastapi import FastAPI
from typer.testing import CliRunner

from runner.api.usage import read_since, usage_router
from runner.cli import usage
from runner.errors import InvalidRequestError, OfflineError
from runner.ledger import AnswerRow, Budget, HoldRequest, Ledger, Price

FIELDS = {
    "requests",
    "prompt_tokens",
    "completion_tokens",
    "cost_usd",
    "cost_reserved_usd",
    "cost_uncertain_usd",
    "cost_avoided_usd",
}


async def fill(ledger: Ledger) -> None:
    ledger.record(AnswerRow("r1", "hermes-3-8b", "local", "alice", "ok", 10, 5, 7_000))
    ledger.record(AnswerRow("r2", "hermes-4-405b", "openrouter", "bob", "ok", 20, 5))
    wanted = HoldRequest("r2", "hermes-4-405b", "openrouter", "bob", 90_000, None, Price(1, 3))
    ledger.settle(await ledger.reserve(wanted), 35_000)
    await ledger.flush()


async def test_the_endpoint_has_the_contracts_shape() -> None:
    ledger = Ledger.open(None, Budget())
    await fill(ledger)
    app = FastAPI()
    app.include_router(usage_router(ledger))
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        body = (await client.get("/v1/usage")).json()
        later = (await client.get("/v1/usage", params={"since": "2999-01-01"})).json()
    assert set(body) == {
        "object",
        "since",
        "totals",
        "by_model",
        "by_provider",
        "by_key",
        "by_day",
        "budget",
    }
    assert set(body["totals"]) == FIELDS
    for label in ("model", "provider", "key", "day"):
        assert all(set(row) == {label} | FIELDS for row in body[f"by_{label}"])
    assert body["totals"]["cost_usd"] == 35e-6
    assert body["totals"]["cost_avoided_usd"] == 7e-6
    assert later["totals"]["requests"] == 0
    assert later["since"] == "2999-01-01T00:00:00+00:00"
    ledger.close()


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        (None, 0.0),
        ("1780000000", 1_780_000_000.0),
        ("1970-01-02", 86_400.0),
        ("1970-01-01T01:00:00+01:00", 0.0),
    ],
)
def test_moments_are_read_in_their_usual_forms(text: str | None, seconds: float) -> None:
    assert read_since(text) == seconds


@pytest.mark.parametrize("text", ["yesterday", "..", "2026-13-01"])
def test_what_is_no_moment_is_the_callers_mistake(text: str) -> None:
    with pytest.raises(InvalidRequestError, match="since"):
        read_since(text)


def test_the_command_shows_spent_and_avoided_without_a_server() -> None:
    async def prepare() -> None:
        ledger = Ledger.open(Path(os.environ["RUNNER_HOME"]), Budget())
        await fill(ledger)
        ledger.close()

    asyncio.run(prepare())
    app = typer.Typer()
    app.command("usage")(usage.command)
    table = CliRunner().invoke(app, [], catch_exceptions=False).output
    assert "0.000035" in table and "0.000007" in table
    assert "openrouter" in table and "alice" in table
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RUNNER_OFFLINE", "1")
        with pytest.raises(OfflineError):
            CliRunner().invoke(app, ["--reconcile"], catch_exceptions=False)
    shown = json.loads(CliRunner().invoke(app, ["--json"], catch_exceptions=False).output)
    assert shown["totals"]["requests"] == 2
