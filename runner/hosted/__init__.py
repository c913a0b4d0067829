"""Hosted providers as backends: one class each on a common base, and all that makes them honest.

Owns the way to other people's machines: dialects, emulation, timers, money and health. Knows
neither the router nor this machine's engines. Invariant: nothing leaves but through `egress`,
and not before its worst case is held.
"""

from __future__ import annotations

from collections.abc import Mapping

from runner.config import ProviderSettings

from .backend import HostedBackend, House
from .pricing import reference_price
from .providers import Provider, build_providers
from .snapshot import with_refreshed

__all__ = [
    "HostedBackend",
    "House",
    "Provider",
    "build_backends",
    "build_providers",
    "reference_price",
    "with_refreshed",
]


def build_backends(
    providers: Mapping[str, ProviderSettings], environ: Mapping[str, str], house: House
) -> tuple[HostedBackend, ...]:
    """A backend for every provider, with or without a key: one without can still be quoted."""
    return tuple(HostedBackend(one, house) for one in build_providers(providers, environ))
