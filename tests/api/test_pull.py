"""Pulling over the API: progress as events, only for the server's own key."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from runner.api import errors
from runner.api.auth import Keyring
from runner.api.pull import pull_router
from runner.catalog import Catalog
from runner.egress import Egress
from runner.hub import Library, Pulled, Puller, Repositories
from runner.hub.selection import take_best
from tests.fakes.hub import FakeHub
from tests.fakes.random_gguf import write_random_gguf

NAME = "hf.co/maker/Model-GGUF"


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[FakeHub]:
    [path] = write_random_gguf(tmp_path / "Model-F16.gguf")
    with FakeHub() as hub:
        hub.publish("maker/Model-GGUF", {path.name: path})
        yield hub


def connect(
    hub: FakeHub, home: Path, keys: dict[str, str], seen: list[Pulled], host: str = "127.0.0.1"
) -> httpx.AsyncClient:
    def make_puller() -> Puller:
        library = Library(home / "state", home / "cache", Catalog([]))
        repositories = Repositories(Egress(offline=False), endpoint=hub.endpoint)
        return Puller(library, repositories)

    app = FastAPI()
    errors.install(app)
    app.include_router(pull_router(Keyring(keys), make_puller, take_best, seen.append))
    transport = httpx.ASGITransport(app, client=(host, 1))
    return httpx.AsyncClient(transport=transport, base_url="http://runner")


async def test_progress_comes_as_events_and_ends_with_done(hub: FakeHub, tmp_path: Path) -> None:
    seen: list[Pulled] = []
    async with connect(hub, tmp_path, {}, seen) as client:
        answer = await client.post("/v1/models/pull", json={"model": NAME})
    assert answer.headers["content-type"].startswith("text/event-stream")
    data = [line[6:] for line in answer.text.splitlines() if line.startswith("data: ")]
    assert data[-1] == "[DONE]"
    kinds = [json.loads(line)["event"] for line in data[:-1]]
    assert (kinds[0], kinds[-1]) == ("resolved", "pulled")
    assert seen[0].installed.verified


async def test_without_streaming_the_last_event_is_the_answer(hub: FakeHub, tmp_path: Path) -> None:
    async with connect(hub, tmp_path, {}, []) as client:
        answer = await client.post("/v1/models/pull", json={"model": NAME, "stream": False})
    assert answer.json()["event"] == "pulled"


async def test_a_failure_is_the_last_event_and_there_is_no_done(
    hub: FakeHub, tmp_path: Path
) -> None:
    async with connect(hub, tmp_path, {}, []) as client:
        answer = await client.post("/v1/models/pull", json={"model": f"{NAME}:Q2_K"})
    assert "there is no Q2_K" in answer.text
    assert "[DONE]" not in answer.text


@pytest.mark.parametrize(
    ("keys", "sent", "host", "status"),
    [
        ({"default": "k"}, "k", "10.0.0.1", 200),
        ({"admin": "k", "alice": "a"}, "k", "10.0.0.1", 200),
        ({"default": "k", "alice": "a"}, "a", "127.0.0.1", 401),
        ({"default": "k"}, "", "127.0.0.1", 401),
        ({}, "", "127.0.0.1", 200),
        ({}, "", "10.0.0.1", 401),
    ],
)
async def test_only_the_servers_own_key_may_pull(
    hub: FakeHub, tmp_path: Path, keys: dict[str, str], sent: str, host: str, status: int
) -> None:
    headers = {"Authorization": f"Bearer {sent}"} if sent else {}
    async with connect(hub, tmp_path, keys, [], host) as client:
        answer = await client.post("/v1/models/pull", json={"model": NAME}, headers=headers)
    assert answer.status_code == status


@pytest.mark.parametrize("body", [{}, {"model": ""}, {"model": 3}, {"model": "x", "stream": "no"}])
async def test_a_malformed_wish_is_a_400(
    hub: FakeHub, tmp_path: Path, body: dict[str, object]
) -> None:
    async with connect(hub, tmp_path, {}, []) as client:
        answer = await client.post("/v1/models/pull", json=body)
    assert answer.status_code == 400
    assert hub.requests == []
