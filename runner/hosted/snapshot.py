"""Refreshed offers on disk, laid over the catalogue that ships with the runner.

Owns one JSON file in the state folder. Invariant: it is replaced whole or not at all, and one
that cannot be read is left aside with the shipped prices in force.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from runner.catalog import Catalog, HostedOffer

FILE_NAME = "offers.json"
_OFFERS = TypeAdapter(list[HostedOffer])


def save(folder: Path, offers: Iterable[HostedOffer]) -> Path:
    """Write the offers, over those of the same provider and id that were there."""
    path = folder / FILE_NAME
    merged = {(offer.provider, offer.id): offer for offer in (*_read(path), *offers)}
    folder.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(f".{os.getpid()}.tmp")
    rows = [offer.model_dump(mode="json", exclude_none=True) for offer in merged.values()]
    fresh.write_text(json.dumps(rows, indent=1), encoding="utf-8")
    fresh.replace(path)
    return path


def with_refreshed(catalog: Catalog, folder: Path) -> Catalog:
    """The catalogue with refreshed offers in the place of older ones."""
    fresh = {(offer.provider, offer.id): offer for offer in _read(folder / FILE_NAME)}
    if not fresh:
        return catalog
    entries = []
    for entry in catalog:
        hosted = tuple(
            _newer(offer, fresh.get((offer.provider, offer.id))) for offer in entry.hosted
        )
        if hosted != entry.hosted:
            entries.append(entry.model_copy(update={"hosted": hosted}))
    return catalog.with_entries(entries)


def _newer(shipped: HostedOffer, refreshed: HostedOffer | None) -> HostedOffer:
    """A later release of the runner may know better than an old refresh."""
    if refreshed is None:
        return shipped
    if shipped.as_of and refreshed.as_of and shipped.as_of > refreshed.as_of:
        return shipped
    return refreshed


def _read(path: Path) -> list[HostedOffer]:
    try:
        return _OFFERS.validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return []
