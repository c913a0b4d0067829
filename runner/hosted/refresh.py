"""Asking providers what they offer today, on request only, and saying what has changed.

Owns the reading of their model lists and the comparison with the catalogue. Nothing here runs
by itself. Invariant: a list that cannot be read changes nothing.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from typing import Any

import httpx

from runner.catalog import Catalog, HostedOffer
from runner.egress import Egress
from runner.errors import UpstreamError

from .chunk import read_usd
from .providers import Provider

MAX_LIST_BYTES = 32 * 2**20
TIMEOUT_S = 30.0
MTOK = 1_000_000
FAMILY = "hermes"


@dataclass(frozen=True, slots=True)
class Listed:
    """One model as a provider lists it; prices only from hosts whose unit is documented."""

    id: str
    prompt_usd_per_mtok: float | None = None
    completion_usd_per_mtok: float | None = None
    context: int | None = None
    max_output: int | None = None
    parameters: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """One difference between the catalogue and today's list."""

    provider: str
    model_id: str
    what: str


@dataclass(frozen=True, slots=True)
class Refreshed:
    """What one provider said, or why it could not be asked."""

    provider: str
    offers: tuple[HostedOffer, ...] = ()
    changes: tuple[Change, ...] = ()
    trouble: str | None = None


async def refresh(provider: Provider, catalog: Catalog, egress: Egress, today: date) -> Refreshed:
    """Ask one provider and compare; raises `OfflineError` only."""
    try:
        rows = await _read_list(provider, egress)
    except UpstreamError as error:
        return Refreshed(provider.name, trouble=str(error))
    listed = {row.id: row for row in rows}
    known = [
        offer for entry in catalog for offer in entry.hosted if offer.provider == provider.name
    ]
    offers = tuple(renew(offer, listed.get(offer.id), today) for offer in known)
    changes = [
        change
        for before, after in zip(known, offers, strict=True)
        for change in compare(before, after)
    ]
    strangers = sorted(
        model_id for model_id in set(listed) - {o.id for o in known} if FAMILY in model_id.lower()
    )
    changes += [
        Change(provider.name, name, "is new and not in the catalogue") for name in strangers
    ]
    return Refreshed(provider.name, offers, tuple(changes))


def renew(offer: HostedOffer, listed: Listed | None, today: date) -> HostedOffer:
    """The offer as of today; one that is no longer listed is no longer live."""
    if listed is None:
        return offer.model_copy(update={"live": False})
    fresh: dict[str, Any] = {"live": True}
    if listed.prompt_usd_per_mtok is not None and listed.completion_usd_per_mtok is not None:
        fresh |= {
            "prompt_usd_per_mtok": listed.prompt_usd_per_mtok,
            "completion_usd_per_mtok": listed.completion_usd_per_mtok,
            "as_of": today,
        }
    for name in ("context", "max_output", "parameters"):
        if getattr(listed, name) is not None:
            fresh[name] = getattr(listed, name)
    return offer.model_copy(update=fresh)


def compare(before: HostedOffer, after: HostedOffer) -> Iterator[Change]:
    """What is different, in words."""
    for what in _differences(before, after):
        yield Change(before.provider, before.id, what)


def _differences(before: HostedOffer, after: HostedOffer) -> Iterator[str]:
    if before.live and not after.live:
        yield "is no longer offered"
        return
    if after.live and not before.live:
        yield "is offered again"
    for name in ("prompt_usd_per_mtok", "completion_usd_per_mtok"):
        old, new = getattr(before, name), getattr(after, name)
        if old != new and new is not None:
            word = name.partition("_")[0]
            factor = f" (x{new / old:.2g})" if old else ""
            yield f"{word} price {_usd(old)} -> {_usd(new)}{factor}"
    for name in ("context", "max_output"):
        old, new = getattr(before, name), getattr(after, name)
        if old != new and new is not None:
            yield f"{name} {old or 'unknown'} -> {new}"
    if before.parameters is not None and after.parameters is not None:
        lost = sorted(set(before.parameters) - set(after.parameters))
        won = sorted(set(after.parameters) - set(before.parameters))
        if lost:
            yield f"lost {', '.join(lost)}"
        if won:
            yield f"gained {', '.join(won)}"


def _usd(price: float | None) -> str:
    return "unknown" if price is None else f"${price:g}"


async def _read_list(provider: Provider, egress: Egress) -> list[Listed]:
    timeout = httpx.Timeout(TIMEOUT_S)
    purpose = f"asking {provider.name} for its models"
    async with egress.client(provider.base_url, purpose=purpose, timeout=timeout) as client:
        try:
            async with asyncio.timeout(TIMEOUT_S):
                data = await _read_bytes(client, provider)
            rows = json.loads(data)["data"]
            if not isinstance(rows, list):
                raise TypeError
        except (httpx.HTTPError, TimeoutError, ValueError, KeyError, TypeError) as error:
            raise UpstreamError(
                f"{provider.name} gave no list of models ({type(error).__name__}); the stored "
                "prices stay as they are, try again later",
                provider=provider.name,
            ) from None
    return [_listed(row, provider) for row in rows if isinstance(row, dict) and row.get("id")]


async def _read_bytes(client: httpx.AsyncClient, provider: Provider) -> bytes:
    data = bytearray()
    async with client.stream("GET", "models", headers=provider.headers()) as response:
        if response.status_code != 200:
            raise ValueError(f"status {response.status_code}")
        async for piece in response.aiter_raw():
            data += piece
            if len(data) > MAX_LIST_BYTES:
                raise ValueError("too long")
    return bytes(data)


def _listed(row: dict[str, Any], provider: Provider) -> Listed:
    top = row.get("top_provider")
    top = top if isinstance(top, dict) else {}
    names = row.get("supported_parameters")
    prompt = completion = None
    if provider.names_cost and isinstance(row.get("pricing"), dict):
        prompt = _per_mtok(row["pricing"].get("prompt"))
        completion = _per_mtok(row["pricing"].get("completion"))
    return Listed(
        id=str(row["id"]),
        prompt_usd_per_mtok=prompt,
        completion_usd_per_mtok=completion,
        context=_positive(row.get("context_length")),
        max_output=_positive(top.get("max_completion_tokens")),
        parameters=tuple(map(str, names)) if isinstance(names, list) else None,
    )


def _per_mtok(per_token: Any) -> float | None:
    usd = read_usd(per_token)
    return None if usd is None else round(usd * MTOK, 6)


def _positive(value: Any) -> int | None:
    return value if isinstance(value, int) and value > 0 else None
