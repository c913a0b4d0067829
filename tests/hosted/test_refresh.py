"""A refresh says what changed, keeps it, and changes nothing when a list cannot be read."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from runner.config import ProviderSettings
from runner.egress import Egress
from runner.errors import OfflineError
from runner.hosted import Provider, build_providers
from runner.hosted.refresh import refresh
from runner.hosted.snapshot import FILE_NAME, save, with_refreshed
from tests.fakes.openrouter import KEY, PROFILES, FakeOpenRouter
from tests.hosted.house import catalogue

TODAY = date(2026, 11, 20)


def provider_of(fake: FakeOpenRouter, name: str = "openrouter") -> Provider:
    settings = {name: ProviderSettings(base_url=fake.base_url)}
    environ = {f"{name.upper()}_API_KEY": KEY}
    return next(one for one in build_providers(settings, environ) if one.name == name)


async def test_prices_that_rose_lost_parameters_and_new_models_are_reported() -> None:
    async with FakeOpenRouter(price_scale=3.3).serve() as fake:
        found = await refresh(provider_of(fake), catalogue(), Egress(offline=False), TODAY)
    said = [f"{change.model_id} {change.what}" for change in found.changes]
    assert "nousresearch/hermes-4-405b prompt price $1 -> $3.3 (x3.3)" in said
    assert any("hermes-3-llama-3.1-70b is new" in line for line in said)
    assert not any("openrouter/auto" in line for line in said)
    assert all(offer.as_of == TODAY for offer in found.offers)


async def test_a_model_that_vanished_is_no_longer_live() -> None:
    async with FakeOpenRouter(profile=PROFILES["chutes"]).serve() as fake:
        fake.profile = PROFILES["nous"]
        found = await refresh(
            provider_of(fake, "chutes"), catalogue(), Egress(offline=False), TODAY
        )
    assert [change.what for change in found.changes if "405B-FP8" in change.model_id] == [
        "is no longer offered"
    ]
    assert [offer.live for offer in found.offers] == [False]


async def test_hosts_with_undocumented_units_keep_their_stored_prices() -> None:
    async with FakeOpenRouter(profile=PROFILES["nebius"]).serve() as fake:
        found = await refresh(
            provider_of(fake, "nebius"), catalogue(), Egress(offline=False), TODAY
        )
    assert [offer.prompt_usd_per_mtok for offer in found.offers] == [1]
    assert all(offer.as_of != TODAY for offer in found.offers)


@pytest.mark.parametrize(
    "reply",
    [
        (500, b"oops"),
        (200, b'{"data": [{"id": "x'),
        (200, b"[]"),
        (200, b'{"data": 3}'),
        (302, b""),
    ],
    ids=["status", "truncated", "list", "number", "redirect"],
)
async def test_a_list_that_cannot_be_read_changes_nothing(reply: tuple[int, bytes]) -> None:
    async with FakeOpenRouter(list_reply=reply).serve() as fake:
        provider = provider_of(fake)
        found = await refresh(provider, catalogue(), Egress(offline=False), TODAY)
    assert found.trouble and "stay as they are" in found.trouble
    assert found.offers == ()


async def test_offline_nothing_is_asked() -> None:
    async with FakeOpenRouter().serve() as fake:
        with pytest.raises(OfflineError):
            await refresh(provider_of(fake), catalogue(), Egress(offline=True), TODAY)
        assert fake.journal == []


async def test_what_was_refreshed_is_kept_over_the_shipped_catalogue(tmp_path: Path) -> None:
    async with FakeOpenRouter(price_scale=2.0).serve() as fake:
        found = await refresh(provider_of(fake), catalogue(), Egress(offline=False), TODAY)
    save(tmp_path, found.offers)
    fresh = with_refreshed(catalogue(), tmp_path)
    offers = {offer.provider: offer for offer in fresh.get("hermes-4-405b").hosted}
    assert offers["openrouter"].prompt_usd_per_mtok == 2.0
    assert offers["nous"].prompt_usd_per_mtok == 0.09
    (tmp_path / FILE_NAME).write_text("{ broken")
    shipped = with_refreshed(catalogue(), tmp_path)
    assert shipped.get("hermes-4-405b") == catalogue().get("hermes-4-405b")
