"""`GET /v1/models`: every model that can be addressed, and where it would run.

Owns the model objects. Asking costs nothing: no inference, no outgoing byte.
"""

from __future__ import annotations

from fastapi import APIRouter

from runner.catalog import Entry
from runner.types import JsonObject

from .edge import Edge


def models_router(edge: Edge) -> APIRouter:
    """The list and the single model."""
    router = APIRouter(tags=["models"])

    @router.get("/v1/models")
    @router.get("/models", include_in_schema=False)
    async def list_models() -> JsonObject:
        """Every addressable model, those on this machine first."""
        shown = [describe_model(edge, entry) for entry in edge.services.catalog]
        shown.sort(key=lambda model: not model["installed"])
        return {"object": "list", "data": shown}

    @router.get("/v1/models/{name:path}")
    async def show_model(name: str) -> JsonObject:
        """One model."""
        return describe_model(edge, edge.services.shelf.entry(name))

    return router


def describe_model(edge: Edge, entry: Entry) -> JsonObject:
    """One model as OpenAI lists it, with what the runner adds."""
    services = edge.services
    status = services.local.status(entry.id)
    installed = services.shelf.find(entry.id) is not None
    return {
        "id": entry.id,
        "object": "model",
        "created": int(services.started_s),
        "owned_by": (entry.upstream or "hermes-runner").split("/")[0],
        "title": entry.title,
        "aliases": list(entry.aliases),
        "installed": installed,
        "runs": services.where(entry.id),
        "state": status.readiness,
        "context_length": (installed and status.num_context) or entry.context,
        "context_here": status.num_context,
        "quantization": status.quantization,
        "capabilities": list(entry.capabilities),
        "license": entry.license,
        "pricing": offers_json(entry),
    }


def offers_json(entry: Entry) -> list[JsonObject]:
    """The live hosted offers with their dated prices."""
    return [
        {
            "provider": offer.provider,
            "id": offer.id,
            "prompt_usd_per_mtok": offer.prompt_usd_per_mtok,
            "completion_usd_per_mtok": offer.completion_usd_per_mtok,
            "as_of": offer.as_of.isoformat() if offer.as_of else None,
        }
        for offer in entry.hosted
        if offer.live
    ]
