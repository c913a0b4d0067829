"""`POST /v1/models/load`, `/unload` and `/remove`: what is in memory and on disk, from outside.

Owns their bodies. Only the server's own key may ask, since others' requests depend on it.
"""

from __future__ import annotations

import asyncio

from fastapi import APIRouter, Request

from runner.errors import NotInstalledError
from runner.types import JsonObject

from . import body
from .body import WireModel
from .edge import Edge
from .pull import check_admin


class ModelBody(WireModel):
    """Which model."""

    model: str


def manage_router(edge: Edge) -> APIRouter:
    """The three endpoints."""
    router = APIRouter(tags=["models"])
    services = edge.services

    async def named(request: Request) -> str:
        check_admin(edge.keyring, request)
        asked = await edge.read(request, ModelBody)
        return edge.model_id(asked.model)

    @router.post("/v1/models/load", openapi_extra=body.openapi(ModelBody))
    async def load_model(request: Request) -> JsonObject:
        """Load a model's weights now."""
        model = await named(request)
        await services.pool.engine(model)
        return {"ok": True, "model": model}

    @router.post("/v1/models/unload", openapi_extra=body.openapi(ModelBody))
    async def unload_model(request: Request) -> JsonObject:
        """Give a model's memory back; `ok` is false when it was not loaded."""
        model = await named(request)
        return {"ok": await services.pool.unload(model), "model": model}

    @router.post("/v1/models/remove", openapi_extra=body.openapi(ModelBody))
    async def remove_model(request: Request) -> JsonObject:
        """Delete a model's weights from this disk."""
        model = await named(request)
        _, installed = services.library.resolve(model)
        if installed is None:
            raise NotInstalledError(f"{model} is not installed, so there is nothing to remove")
        await services.pool.unload(model)
        freed_bytes = await asyncio.to_thread(services.library.remove, installed)
        services.shelf.refresh()
        return {"ok": True, "model": model, "freed_bytes": freed_bytes}

    return router
