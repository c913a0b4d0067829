"""Every route asks for the key, whoever mounted it; several keys have names; none is a 500."""

from __future__ import annotations

import gc
import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, Request

from runner.api.app import create_app
from runner.api.auth import Keyring
from runner.api.limits import is_public
from runner.config import ServerSettings, Settings, load
from runner.errors import ConfigError
from runner.services import build
from runner.web import web_router

HASHED = "sha256:" + hashlib.sha256(b"third").hexdigest()
KEYS = {"anna": "first", "ben": "second", "cleo": HASHED}
OFFERS = ("", "Bearer", "Bearer ", "Bearer nobody", "Basic c2VzYW1l", "Bearer sha256:" + "0" * 64)


def keyed_app() -> FastAPI:
    """The application as it is served, page and all, with three keys."""
    app = create_app(build(Settings(offline=True, server=ServerSettings(api_keys=KEYS))))
    app.include_router(web_router())
    return app


def client_of(app: FastAPI) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost")


def flat(routes: Iterable[Any]) -> Iterator[Any]:
    """Routes, and those that hide in included routers."""
    for route in routes:
        yield route
        inner = getattr(route, "routes", None) or getattr(
            getattr(route, "original_router", None), "routes", ()
        )
        yield from flat(inner)


def doors(app: FastAPI) -> list[tuple[str, str]]:
    """Every method and path that the application answers."""
    found = [
        (method, route.path.replace("{", "").replace("}", "").replace(":path", ""))
        for route in flat(app.routes)
        if getattr(route, "methods", None)
        for method in route.methods
    ]
    assert len(found) > 15, found
    return found


async def test_every_route_but_health_and_the_page_asks_for_the_key() -> None:
    app = keyed_app()
    public = set()
    async with client_of(app) as client:
        for method, path in doors(app):
            response = await client.request(method, path)
            if is_public(method, path):
                public.add(path)
                assert response.status_code in (200, 304, 404, 405)
                continue
            assert response.status_code == 401, (method, path)
    assert public <= {"/health", "/", "/static/name"}


@pytest.mark.parametrize(
    "path", ["/v1/nowhere", "/healthy", "/health/", "//health", "/static", "/static/../metrics"]
)
async def test_what_is_no_route_asks_for_the_key_too(path: str) -> None:
    async with client_of(keyed_app()) as client:
        response = await client.get(f"http://localhost{path}")
    assert response.status_code in (401, 404)
    assert "runner_" not in response.text


async def test_health_and_the_page_do_not() -> None:
    async with client_of(keyed_app()) as client:
        for path in ("/health", "/", "/static/app.js"):
            assert (await client.get(path)).status_code == 200
        assert (await client.post("/")).status_code == 401


@pytest.mark.parametrize("offer", OFFERS)
async def test_what_is_no_key_is_a_401(offer: str) -> None:
    async with client_of(keyed_app()) as client:
        response = await client.get("/v1/models", headers={"Authorization": offer})
    assert response.status_code == 401
    assert response.json()["error"]["code"] == "invalid_api_key"


@pytest.mark.parametrize("name", ["Authorization", "X-Api-Key"])
@pytest.mark.parametrize("text", ["schlüssel", "\xff\xfe", "ключ", "🔑", "\udcff"])
async def test_a_key_that_is_not_ascii_is_no_500(name: str, text: str) -> None:
    raw = text.encode("utf-8", errors="surrogateescape")
    value = b"Bearer " + raw if name == "Authorization" else raw
    async with client_of(keyed_app()) as client:
        response = await client.get("/v1/models", headers={name.encode(): value})
    assert response.status_code == 401


@pytest.mark.parametrize(("key", "name"), [("first", "anna"), ("second", "ben"), ("third", "cleo")])
async def test_every_key_opens_and_has_its_name(key: str, name: str) -> None:
    async with client_of(keyed_app()) as client:
        response = await client.get("/v1/models", headers={"X-Api-Key": key})
    assert response.status_code == 200
    scope = {"type": "http", "headers": [(b"authorization", f"Bearer {key}".encode())]}
    assert Keyring(KEYS).name_of(Request(scope)) == name


async def test_the_digest_of_a_key_does_not_open() -> None:
    async with client_of(keyed_app()) as client:
        response = await client.get("/v1/models", headers={"X-Api-Key": HASHED})
    assert response.status_code == 401


def test_keys_are_not_kept() -> None:
    """Of a key written out nothing but its digest is found anywhere, once settings are read."""
    canaries = ("sesame-canary", "second-canary")
    settings = load(
        {"server.api_key": canaries[0], "server.api_keys.ben": canaries[1], "offline": True},
        environ={},
        folder=Path("/nowhere"),
    ).settings
    services = build(settings)
    app = create_app(services)
    kept = [settings.server, settings.server.model_dump(), Keyring.of(settings.server)]
    shown = [repr(one) + str(getattr(one, "__dict__", "")) for one in kept]
    shown += [settings.model_dump_json(), repr(app.user_middleware), repr(vars(services.settings))]
    for text in shown:
        assert not any(canary in text for canary in canaries)
    found = [one for one in gc.get_objects() if isinstance(one, Keyring)]
    assert found
    assert all(canary not in repr(vars(one)) for one in found for canary in canaries)
    assert settings.server.api_key == "sha256:" + hashlib.sha256(b"sesame-canary").hexdigest()


def test_settings_that_were_sealed_stay_as_they_are() -> None:
    server = ServerSettings(
        api_key="sesame", api_keys={"cleo": HASHED.upper().replace("SHA", "sha")}
    )
    assert server.api_keys["cleo"].key == HASHED
    assert ServerSettings.model_validate_json(server.model_dump_json()) == server


@pytest.mark.parametrize(
    "key", ["", " ", " sesame", "sesame\n", "sha256:", "sha256:12", "sha256:" + "g" * 64]
)
def test_what_no_header_could_carry_is_no_key(key: str) -> None:
    for flags in ({"server.api_key": key}, {"server.api_keys.anna": key}):
        with pytest.raises(ConfigError) as refusal:
            load(flags, environ={}, folder=Path("/nowhere"))
        assert "server.api_key" in str(refusal.value)


def test_listening_to_the_network_without_a_key_is_refused() -> None:
    from runner.cli.server import check_address

    for host in ("0.0.0.0", "::", "192.168.1.5"):
        with pytest.raises(ConfigError, match="allow_open_network"):
            check_address(Settings(server=ServerSettings(host=host)))
        check_address(Settings(server=ServerSettings(host=host, api_keys=KEYS)))
        check_address(Settings(server=ServerSettings(host=host, allow_open_network=True)))
    check_address(Settings(server=ServerSettings(host="127.0.0.1")))
