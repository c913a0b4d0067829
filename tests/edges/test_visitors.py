"""Who is let in: names against rebinding, exact origins against pages that post in the dark."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi import FastAPI

from runner.api.app import create_app
from runner.api.limits import Visitors, is_loopback
from runner.config import ServerSettings, Settings
from runner.errors import ConfigError
from runner.services import build

CHAT = "/v1/chat/completions"
FRIEND = "https://chat.example.com"
LOCAL = ServerSettings()
NAMED = ServerSettings(allowed_hosts=("runner.lan", "fd00::7"))
WIDE = ServerSettings(host="0.0.0.0", allow_open_network=True)
KEYED = ServerSettings(host="0.0.0.0", api_key="sesame")
WIDE_NAMED = ServerSettings(host="::", api_key="sesame", allowed_hosts=("Runner.Example.com",))


@pytest.mark.parametrize(
    ("server", "host", "is_taken"),
    [
        (LOCAL, "localhost", True),
        (LOCAL, "LocalHost:8000", True),
        (LOCAL, "127.0.0.1", True),
        (LOCAL, "127.0.0.1:65535", True),
        (LOCAL, "[::1]", True),
        (LOCAL, "[::1]:8000", True),
        (LOCAL, "", False),
        (LOCAL, "evil.com", False),
        (LOCAL, "localhost.evil.com", False),
        (LOCAL, "evil.com:8000", False),
        (LOCAL, "localhost@evil.com", False),
        (LOCAL, "evil.com@localhost", False),
        (LOCAL, "localhost:80:90", False),
        (LOCAL, "localhost:x", False),
        (LOCAL, "localhost ", False),
        (LOCAL, "127.0.0.1.evil.com", False),
        (LOCAL, "2130706433", False),
        (LOCAL, "0.0.0.0", False),
        (LOCAL, "192.168.1.5:8000", False),
        (LOCAL, "[::1", False),
        (LOCAL, "::1", False),
        (LOCAL, "localh\xf6st", False),
        (NAMED, "runner.lan:8000", True),
        (NAMED, "[fd00::7]:8000", True),
        (NAMED, "localhost", True),
        (NAMED, "x.runner.lan", False),
        (WIDE, "192.168.1.5:8000", True),
        (WIDE, "[fe80::1]:8000", True),
        (WIDE, "localhost", True),
        (WIDE, "evil.com", False),
        (KEYED, "any.example.com", True),
        (WIDE_NAMED, "runner.example.com", True),
        (WIDE_NAMED, "evil.com", False),
        (WIDE_NAMED, "192.168.1.5", False),
    ],
)
def test_a_host_is_taken_or_not(server: ServerSettings, host: str, is_taken: bool) -> None:
    assert Visitors.of(server).takes_host(host) == is_taken


@pytest.mark.parametrize(
    ("origin", "is_taken"),
    [
        (None, True),
        ("http://localhost:8000", True),
        ("https://localhost:8000", True),
        (FRIEND, True),
        ("http://localhost", False),
        ("http://localhost:3000", False),
        ("http://localhost.evil.com", False),
        ("http://localhost.evil.com:8000", False),
        ("https://chat.example.com.evil.com", False),
        ("http://chat.example.com", False),
        ("null", False),
        ("", False),
    ],
)
def test_a_page_changes_things_only_from_our_origin_or_a_configured_one(
    origin: str | None, is_taken: bool
) -> None:
    keyless = Visitors.of(ServerSettings(allowed_origins=(FRIEND,)))
    assert keyless.takes_origin(origin, "localhost:8000") == is_taken
    keyed = Visitors.of(ServerSettings(api_key="sesame"))
    assert keyed.takes_origin(origin, "localhost:8000")  # no page knows the key


@pytest.mark.parametrize("origin", ["*", "http://*.example.com", "http://a.com/", "a.com", ""])
def test_an_inexact_origin_is_a_setting_that_is_refused(origin: str) -> None:
    with pytest.raises(ConfigError, match="exact origin"):
        Visitors.of(ServerSettings(allowed_origins=(origin,)))


@pytest.mark.parametrize(
    ("host", "is_local"),
    [
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("192.168.1.5", False),
        ("runner.lan", False),
    ],
)
def test_loopback_is_known_by_its_address(host: str, is_local: bool) -> None:
    assert is_loopback(host) == is_local


def app_with(server: ServerSettings) -> FastAPI:
    return create_app(build(Settings(offline=True, server=server)))


@pytest.fixture
async def plain() -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app_with(LOCAL))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        yield client


@pytest.fixture
async def friendly() -> AsyncIterator[httpx.AsyncClient]:
    server = ServerSettings(api_key="sesame", allowed_origins=(FRIEND,))
    transport = httpx.ASGITransport(app_with(server))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        yield client


@pytest.mark.parametrize("path", ["/health", "/v1/models", CHAT, "/v1/nowhere"])
async def test_a_rebound_name_is_a_400_in_the_envelope(plain: httpx.AsyncClient, path: str) -> None:
    response = await plain.get(path, headers={"Host": "evil.com"})
    assert response.status_code == 400
    error = response.json()["error"]
    assert error["code"] == "host_not_allowed"
    assert "server.allowed_hosts" in error["message"]


async def test_a_strangers_page_may_not_post(plain: httpx.AsyncClient) -> None:
    headers = {"Origin": "http://localhost.evil.com"}
    response = await plain.post(CHAT, content=b"{}", headers=headers)
    assert response.status_code == 403
    assert response.json()["error"]["code"] == "origin_not_allowed"
    response = await plain.post(CHAT, content=b"{}", headers={"Origin": "http://localhost"})
    assert response.status_code == 400  # let in, and found wanting


@pytest.mark.parametrize("origin", ["http://localhost.evil.com", FRIEND, "null"])
@pytest.mark.parametrize("method", ["GET", "OPTIONS"])
async def test_no_page_may_read_unless_configured(
    plain: httpx.AsyncClient, origin: str, method: str
) -> None:
    wish = {"Origin": origin, "Access-Control-Request-Method": "POST"}
    response = await plain.request(method, "/v1/models", headers=wish)
    assert not [name for name in response.headers if name.startswith("access-control")]


async def test_a_configured_page_may_ask_and_read(friendly: httpx.AsyncClient) -> None:
    wish = {
        "Origin": FRIEND,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization, content-type",
    }
    preflight = await friendly.options(CHAT, headers=wish)
    assert preflight.status_code == 200
    assert preflight.headers["access-control-allow-origin"] == FRIEND
    headers = {"Origin": FRIEND, "Authorization": "Bearer sesame"}
    response = await friendly.get("/v1/models", headers=headers)
    assert response.headers["access-control-allow-origin"] == FRIEND
    assert "access-control-allow-credentials" not in response.headers
    refused = await friendly.get("/v1/models", headers={"Origin": FRIEND})
    assert refused.status_code == 401
    assert refused.headers["access-control-allow-origin"] == FRIEND  # the page may read why


@pytest.mark.parametrize("origin", ["http://localhost.evil.com", FRIEND + ".evil.com", "null"])
async def test_a_page_that_almost_has_the_name_may_not(
    friendly: httpx.AsyncClient, origin: str
) -> None:
    wish = {"Origin": origin, "Access-Control-Request-Method": "POST"}
    preflight = await friendly.options(CHAT, headers=wish)
    assert preflight.status_code == 400
    assert "access-control-allow-origin" not in preflight.headers
    headers = {"Origin": origin, "Authorization": "Bearer sesame"}
    response = await friendly.get("/v1/models", headers=headers)
    assert "access-control-allow-origin" not in response.headers


async def test_a_large_head_is_a_431(plain: httpx.AsyncClient) -> None:
    response = await plain.get("/health", headers={"X-Padding": "a" * 17_000})
    assert response.status_code == 431
    assert response.json()["error"]["code"] == "headers_too_large"
