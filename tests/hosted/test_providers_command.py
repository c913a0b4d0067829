"""`runner providers`: the table asks nobody, the refresh reports and keeps what changed."""

from __future__ import annotations

import asyncio
import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from runner.cli import providers, usage
from runner.errors import OfflineError
from runner.ledger import Budget, HoldRequest, Ledger, Price
from tests.fakes.openrouter import FakeOpenRouter


@contextmanager
def running(fake: FakeOpenRouter) -> Iterator[None]:
    """The fake on a thread of its own, because a command has its own event loop."""
    started, loop = threading.Event(), asyncio.new_event_loop()
    stopping = asyncio.Event()

    async def serve() -> None:
        async with fake.serve():
            started.set()
            await stopping.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    started.wait()
    try:
        yield
    finally:
        loop.call_soon_threadsafe(stopping.set)
        thread.join()
        loop.close()


def run(*args: str) -> str:
    result = CliRunner().invoke(providers.app, list(args), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_the_table_shows_every_provider_its_prices_and_what_is_missing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("NEBIUS_API_KEY", "sk-CANARY")
    table = run()
    assert "no key; set OPENROUTER_API_KEY" in table
    assert "nousresearch/hermes-4-405b" in table
    rows = {row["provider"]: row for row in json.loads(run("--json"))}
    assert rows["nebius"]["trouble"] is None
    assert rows["openrouter"]["success_rate"] is None
    assert "CANARY" not in table + json.dumps(rows)


def test_a_refresh_reports_changes_once_and_keeps_them(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeOpenRouter(price_scale=2.0)
    with running(fake):
        monkeypatch.setenv("OPENROUTER_BASE_URL", fake.base_url)
        said = run("refresh")
        assert "nousresearch/hermes-4-405b prompt price $1 -> $2 (x2)" in said
        assert "price" not in run("refresh")
    assert (Path(os.environ["RUNNER_HOME"]) / "offers.json").is_file()
    rows = {row["provider"]: row for row in json.loads(run("--json"))}
    models = {model["model"]: model for model in rows["openrouter"]["models"]}
    assert models["hermes-4-405b"]["prompt_usd_per_mtok"] == 2.0


def test_offline_a_refresh_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNNER_OFFLINE", "1")
    with pytest.raises(OfflineError):
        CliRunner().invoke(providers.app, ["refresh"], catch_exceptions=False)


def test_uncertain_answers_are_settled_on_request(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeOpenRouter()
    fake.generations["gen-1"] = {"total_cost": 0.000035}

    async def leave_in_doubt() -> None:
        ledger = Ledger.open(Path(os.environ["RUNNER_HOME"]), Budget())
        wanted = HoldRequest("r", "hermes-4-405b", "openrouter", "", 90_000, None, Price(1, 3))
        ledger.doubt(await ledger.reserve(wanted), "gen-1")
        ledger.close()

    asyncio.run(leave_in_doubt())
    app = typer.Typer()
    app.command("usage")(usage.command)
    with running(fake):
        monkeypatch.setenv("OPENROUTER_BASE_URL", fake.base_url)
        monkeypatch.setenv("OPENROUTER_API_KEY", fake.key)
        result = CliRunner().invoke(app, ["--reconcile", "--json"], catch_exceptions=False)
    totals = json.loads(result.stdout)["totals"]
    assert (totals["cost_usd"], totals["cost_uncertain_usd"]) == (0.000035, 0)
