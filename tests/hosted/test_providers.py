"""Providers: addresses, keys and abilities, and a cluster of one's own at price 0."""

from __future__ import annotations

import time

import pytest

from runner.config import HostedSettings, ProviderSettings
from runner.egress import Egress
from runner.hosted import House, build_backends, build_providers
from runner.ledger import Budget, Ledger, Price
from runner.router import Router, Rules
from tests.fakes.openrouter import PROFILES, TALE, FakeOpenRouter
from tests.hosted.house import Setup, ask, catalogue, offer, tell


def test_every_known_provider_is_there_with_its_own_variable() -> None:
    providers = {one.name: one for one in build_providers({}, {"NEBIUS_API_KEY": " k "})}
    assert set(providers) == {"openrouter", "nous", "nebius", "together", "deepinfra", "chutes"}
    assert providers["nebius"].missing() is None
    assert providers["nebius"].headers() == {"Authorization": "Bearer k"}
    assert providers["nous"].missing() == "no key; set NOUS_API_KEY"
    assert providers["nous"].headers() == {}
    assert all(one.base_url.startswith("https://") for one in providers.values())


def test_addresses_come_from_the_settings_or_the_environment() -> None:
    environ = {"OPENROUTER_BASE_URL": "http://127.0.0.1:5/api/v1/"}
    settings = {"nous": ProviderSettings(base_url="https://mirror.test/v1", api_key_env="MY_KEY")}
    providers = {one.name: one for one in build_providers(settings, environ)}
    assert providers["openrouter"].base_url == "http://127.0.0.1:5/api/v1"
    assert providers["nous"].base_url == "https://mirror.test/v1"
    assert providers["nous"].missing() == "no key; set MY_KEY"


@pytest.mark.parametrize("key", ["bad\nkey", "ключ"])
def test_a_key_that_no_header_could_hold_is_said_so(key: str) -> None:
    [openrouter, *_] = build_providers({}, {"OPENROUTER_API_KEY": key})
    assert "characters no key has" in (openrouter.missing() or "")


def test_abilities_are_as_listed_else_as_the_host_is_known_for() -> None:
    providers = {one.name: one for one in build_providers({}, {})}
    listed = offer("openrouter", "m", 1, 1, parameters=("top_k", "tools"), has_tools=False)
    assert providers["openrouter"].abilities(listed) == {"top_k"}  # type: ignore[arg-type]
    plain = offer("nous", "m", 1, 1)
    assert "stop" not in providers["nous"].abilities(plain)  # type: ignore[arg-type]
    able = offer("together", "m", 1, 1, has_tools=True)
    assert "tools" in providers["together"].abilities(able)  # type: ignore[arg-type]


async def test_a_cluster_of_ones_own_needs_no_key_and_costs_nothing() -> None:
    profile = PROFILES["chutes"]
    async with FakeOpenRouter(profile=profile).serve() as fake:
        own = ProviderSettings(
            base_url=fake.base_url,
            api_key_env="CLUSTER_KEY",
            models={"hermes-3-8b": profile.models[0].id},
        )
        ledger = Ledger.open(None, Budget(daily_nusd=1))
        house = House(
            catalogue(), HostedSettings(zdr=True), Egress(offline=False), ledger, time.monotonic
        )
        backends = build_backends({"cluster": own}, {"CLUSTER_KEY": fake.key}, house)
        named = {one.name: one for one in backends}
        router = Router(None, backends, Rules())
        setup = Setup(router, ledger, named, {"cluster": fake})
        told = await tell(setup, ask(model="hermes-3-8b"))
        assert told.text == TALE
        assert told.finished and told.finished.usage.cost_usd == 0
        quote = named["cluster"].quote(ask(model="hermes-3-8b"))
        assert quote and quote.price == Price(0, 0)
        totals = (await ledger.usage()).totals
        assert (totals.cost_usd, totals.cost_uncertain_usd) == (0, 0)
        await router.aclose()
        ledger.close()
