"""`GET /v1/plan`: for every model whether it fits this machine, how it would be loaded, how fast.

Owns the shape. Asks nobody outside; the figures are the planner's.
"""

from __future__ import annotations

import asyncio

from fastapi import APIRouter

from runner.catalog import Entry
from runner.errors import DoesNotFitError, WeightsError
from runner.memory import LoadPlan
from runner.types import JsonObject

from .edge import Edge
from .models import offers_json


def plan_router(edge: Edge) -> APIRouter:
    """The endpoint."""
    router = APIRouter(tags=["models"])

    @router.get("/v1/plan")
    async def plan_models() -> JsonObject:
        """The whole family on this machine."""
        return await asyncio.to_thread(describe_plans, edge)

    return router


def describe_plans(edge: Edge) -> JsonObject:
    """One row a model; blocks while hardware is looked at."""
    services = edge.services
    hardware = services.planner.hardware()
    machine = {
        "memory_total_bytes": hardware.memory_total_bytes,
        "memory_available_bytes": hardware.memory_available_bytes,
        "physical_cores": hardware.physical_cores,
        "gpus": [{"name": gpu.name, "free_bytes": gpu.free_bytes} for gpu in hardware.gpus],
    }
    models = [describe_plan(edge, entry) for entry in services.catalog]
    return {"object": "plan", "machine": machine, "models": models}


def describe_plan(edge: Edge, entry: Entry) -> JsonObject:
    """One model's plan, or what is missing."""
    planner, shelf = edge.services.planner, edge.services.shelf
    base: JsonObject = {
        "id": entry.id,
        "title": entry.title,
        "installed": shelf.find(entry.id) is not None,
        "hosted": offers_json(entry),
    }
    try:
        plan = planner.plan(entry.id) if base["installed"] else planner.prospect(entry.id)
    except DoesNotFitError as error:
        missing = max(0, error.needed_bytes - error.available_bytes)
        return {
            **base,
            "fits": False,
            "total_ram_bytes": error.needed_bytes,
            "available_bytes": error.available_bytes,
            "missing_bytes": missing,
            "reasons": [str(error)],
        }
    except WeightsError as error:
        return {**base, "fits": None, "reasons": [str(error)]}
    return {**base, **_plan_json(plan)}


def _plan_json(plan: LoadPlan) -> JsonObject:
    speed = plan.predicted_tokens_per_s
    return {
        "fits": True,
        "quantization": plan.quantization,
        "context": plan.context,
        "parallel": plan.parallel,
        "gpu_layers": plan.gpu_layers,
        "kv_type": plan.kv_type,
        "weights_ram_bytes": plan.weights_ram_bytes,
        "weights_gpu_bytes": plan.weights_gpu_bytes,
        "kv_bytes": plan.kv_bytes,
        "total_ram_bytes": plan.total_ram_bytes,
        "total_gpu_bytes": plan.total_gpu_bytes,
        "available_bytes": plan.available_ram_bytes,
        "missing_bytes": 0,
        "predicted_tokens_per_s": None if speed is None else round(speed, 2),
        "reasons": list(plan.reasons),
    }
