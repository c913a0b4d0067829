"""`GET /v1/providers`: who could answer elsewhere, and how they have been doing. Asks nobody."""

from __future__ import annotations

from fastapi import APIRouter

from runner.hosted import HostedBackend
from runner.types import JsonObject

from .edge import Edge


def providers_router(edge: Edge) -> APIRouter:
    """The endpoint."""
    router = APIRouter(tags=["routing"])

    @router.get("/v1/providers")
    async def list_providers() -> JsonObject:
        """Every hosted provider, with its health as seen from here."""
        is_offline = edge.services.egress.offline
        shown = [
            describe_provider(backend, is_offline=is_offline) for backend in edge.services.hosted
        ]
        return {"object": "list", "providers": shown}

    return router


def describe_provider(backend: HostedBackend, *, is_offline: bool) -> JsonObject:
    """One provider's availability and health."""
    report = backend.health
    missing = backend.provider.missing()
    is_resting = report.trouble is not None or report.wait_s > 0
    first_token_s = report.first_token_s
    return {
        "name": backend.name,
        "state": _state(missing=missing is not None, resting=is_resting, offline=is_offline),
        "success_rate": report.success_rate,
        "first_token_ms": None if first_token_s is None else round(first_token_s * 1e3, 1),
        "tokens_per_second": report.tokens_per_s,
        "num_requests": report.num_samples,
        "detail": missing or report.trouble,
    }


def _state(*, missing: bool, resting: bool, offline: bool) -> str:
    if offline:
        return "offline"
    if missing:
        return "no_key"
    return "resting" if resting else "ready"
