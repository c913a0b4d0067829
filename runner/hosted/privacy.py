"""The `provider` object that goes to OpenRouter: the settings, tightened by the request.

Pure. Owns how the two are joined. Invariant: no request ever makes the result looser than the
settings, and nothing here depends on how an earlier attempt went.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from runner.config import HostedSettings
from runner.ledger import Price
from runner.types import JsonObject

PASSED_ON = frozenset(
    {
        "order",
        "ignore",
        "allow_fallbacks",
        "require_parameters",
        "quantizations",
        "sort",
        "enforce_distillable_text",
        "preferred_min_throughput",
        "preferred_max_latency",
    }
)
JOINED = frozenset({"data_collection", "zdr", "only", "max_price"})


@dataclass(frozen=True, slots=True)
class ProviderWish:
    """The joined object, why it cannot be met, and the keys that were not understood."""

    body: JsonObject
    conflict: str | None = None
    unknown: tuple[str, ...] = ()


def join_wishes(settings: HostedSettings, asked: JsonObject, price: Price | None) -> ProviderWish:
    """Join settings, request and stored price to what is sent."""
    body: JsonObject = {name: asked[name] for name in asked if name in PASSED_ON}
    body.setdefault("sort", settings.sort)
    is_denied = "deny" in (settings.data_collection, asked.get("data_collection"))
    body["data_collection"] = "deny" if is_denied else "allow"
    if settings.zdr or asked.get("zdr") is True:
        body["zdr"] = True
    wishes = [set(names) for names in (settings.only, _names(asked.get("only"))) if names]
    conflict = None
    if wishes:
        both = set.intersection(*wishes)
        body["only"] = sorted(both)
        if not both:
            conflict = "no provider is both in [hosted] only and in the request's provider.only"
    cap = _price_cap(asked.get("max_price"), price)
    if cap:
        body["max_price"] = cap
    unknown = tuple(sorted(f"provider.{n}" for n in set(asked) - PASSED_ON - JOINED))
    return ProviderWish(body, conflict, unknown)


def _names(value: Any) -> list[str]:
    return [name for name in value if isinstance(name, str)] if isinstance(value, list) else []


def _price_cap(asked: Any, price: Price | None) -> JsonObject:
    cap: JsonObject = {}
    if price is not None:
        cap = {
            "prompt": price.prompt_usd_per_mtok,
            "completion": price.completion_usd_per_mtok,
        }
    if isinstance(asked, dict):
        for name, limit in asked.items():
            if isinstance(limit, int | float) and not isinstance(limit, bool):
                cap[name] = min(cap.get(name, limit), limit)
    return cap
