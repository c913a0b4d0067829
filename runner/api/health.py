"""`GET /health` and `GET /metrics`: whether the server can answer, and how it has been doing.

Owns both shapes. Health needs no key and no model; it says what is loaded and loading.
"""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import Response

from runner.metrics import CONTENT_TYPE
from runner.types import JsonObject

from .edge import Edge


def health_router(edge: Edge) -> APIRouter:
    """Liveness and figures."""
    router = APIRouter(tags=["operations"])

    @router.get("/health")
    async def health() -> JsonObject:
        """200 as soon as the server can answer."""
        pool = edge.services.pool
        models = {model: pool.residency(model) for model in pool.models()}
        engines = [_engine_json(edge, model) for model, state in models.items() if state == "ready"]
        return {
            "status": "ok",
            "loaded": [model for model, state in models.items() if state == "ready"],
            "loading": [model for model, state in models.items() if state == "loading"],
            "failed": [model for model, state in models.items() if state == "failed"],
            "engines": engines,
        }

    @router.get("/metrics")
    async def metrics() -> Response:
        """Prometheus text."""
        return Response(edge.services.metrics.render(), media_type=CONTENT_TYPE)

    return router


def _engine_json(edge: Edge, model: str) -> JsonObject:
    resident = edge.services.pool.resident(model)
    engine = resident.engine if resident else None
    status = engine.status if engine else None
    if resident is None or engine is None or status is None:
        return {"model": model}
    return {
        "model": model,
        "pid": engine.pid,
        "running": status.num_running,
        "waiting": status.num_waiting,
        "cells": {
            "total": status.num_cells,
            "free": status.num_free,
            "cached": status.num_cached,
            "live": status.num_live,
            "shared": status.num_shared,
        },
        "tokens_per_second": round(status.tokens_per_s, 2),
        "crashes": resident.num_crashes,
    }
