"""Figures for the stub: shaped like the API's, made up but for the catalogue's own facts."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import Any

from runner import catalog

Json = dict[str, Any]
GPU_BYTES = 6_000_000_000
RAM_BYTES = 16_000_000_000
MACHINE: Json = {"gpus": [{"name": "a small one", "free_bytes": GPU_BYTES}]}


def models(installed: set[str]) -> list[Json]:
    """The catalogue as `GET /v1/models` lists it."""
    shown = [_model(entry, entry.id in installed) for entry in catalog.load()]
    return sorted(shown, key=lambda model: not model["installed"])


def _model(entry: catalog.Entry, installed: bool) -> Json:
    offers = [offer for offer in entry.hosted if offer.live]
    sights = ["image"] if "vision" in entry.capabilities else []
    runs = "local" if installed else "hosted" if offers else "unavailable"
    return {
        "id": entry.id,
        "object": "model",
        "owned_by": (entry.upstream or "hermes-runner").split("/")[0],
        "title": entry.title,
        "aliases": list(entry.aliases),
        "installed": installed,
        "runs": runs,
        "state": "ready" if installed else "unknown",
        "context_length": entry.context or 8192,
        "quantization": None,
        "capabilities": list(entry.capabilities),
        "license": entry.license,
        "pricing": [_offer(offer) for offer in offers],
        "architecture": {"input_modalities": ["text", *sights]},
    }


def _offer(offer: Any) -> Json:
    return {
        "provider": offer.provider,
        "prompt_usd_per_mtok": offer.prompt_usd_per_mtok,
        "completion_usd_per_mtok": offer.completion_usd_per_mtok,
        "as_of": offer.as_of.isoformat() if offer.as_of else None,
    }


def plans() -> list[Json]:
    """A plan for every model on a machine with 16 GB and a small GPU."""
    return [_plan(entry) for entry in catalog.load()]


def _plan(entry: catalog.Entry) -> Json:
    parameters = entry.num_parameters or 3_500_000
    size = int(parameters * 0.66) + 120_000_000
    kv = size // 20
    gpu = min(size, GPU_BYTES)
    ram = size - gpu
    missing = max(0, ram - RAM_BYTES)
    reason = f"{missing / 1e9:.1f} GB are missing" if missing else "all of it has a place"
    return {
        "id": entry.id,
        "fits": missing == 0,
        "quantization": "Q8_0" if entry.bundled else "Q4_K_M",
        "context": min(entry.context or 8192, 32_768),
        "total_ram_bytes": ram,
        "total_gpu_bytes": gpu,
        "available_bytes": RAM_BYTES,
        "missing_bytes": missing,
        "weights_ram_bytes": max(0, ram - kv),
        "weights_gpu_bytes": gpu,
        "kv_bytes": kv,
        "predicted_tokens_per_s": None if missing else round(2.4e11 / size, 1),
        "reasons": [reason],
        "hosted": [_offer(offer) for offer in entry.hosted if offer.live],
    }


def health(loaded: list[str], crashes: int, **more_cells: int) -> Json:
    """`GET /health`."""
    cells = {"total": 8192, "free": 5020, "cached": 1980, "live": 1192} | more_cells
    engines = [
        {
            "model": model,
            "pid": 4711 + index,
            "running": 2,
            "waiting": 1,
            "cells": cells,
            "tokens_per_second": 78.4,
            "crashes": crashes,
        }
        for index, model in enumerate(loaded)
    ]
    return {"status": "ok", "loaded": loaded, "loading": [], "failed": [], "engines": engines}


def metrics(at_s: float) -> str:
    """`GET /metrics`; the speed breathes."""
    tokens = 70 * at_s - 90 * math.cos(at_s / 3)
    buckets = {"0.05": 3, "0.1": 41, "0.25": 77, "0.5": 92, "1": 98, "+Inf": 100}
    lines = [
        f'runner_engine_tokens_generated_total{{model="hermes-tiny"}} {max(0, tokens):.0f}',
        'runner_engine_cached_tokens_total{model="hermes-tiny"} 18240',
        'runner_engine_prompt_tokens_total{model="hermes-tiny"} 6120',
    ]
    name = "runner_first_token_seconds_bucket"
    lines += [f'{name}{{served_by="local",le="{edge}"}} {num}' for edge, num in buckets.items()]
    return "\n".join(lines) + "\n"


def providers() -> Json:
    """`GET /v1/providers`."""
    rows = [
        ("openrouter", "ready", 0.996, 640, 61.0, 50, None),
        ("nous", "ready", None, 910, 48.5, 3, None),
        ("nebius", "resting", 0.71, 2400, 22.0, 50, "it failed 5 times in a row"),
        ("together", "no_key", None, None, None, 0, "no key; set TOGETHER_API_KEY"),
        ("chutes", "no_key", None, None, None, 0, "no key; set CHUTES_API_KEY"),
    ]
    measured = ("success_rate", "first_token_ms", "tokens_per_second", "num_requests")
    names = ("name", "state", *measured, "detail")
    return {"providers": [dict(zip(names, row, strict=True)) for row in rows]}


def usage() -> Json:
    """`GET /v1/usage`."""
    today = datetime.now(UTC).date()
    days = [0.012, 0.034, 0.021, 0.0, 0.058, 0.041, 0.017, 0.026, 0.009, 0.047, 0.033, 0.019]
    by_day = [
        {"day": (today - timedelta(days=age)).isoformat(), **_sums(spent, 0.6 * spent + 0.004)}
        for age, spent in zip(reversed(range(len(days))), days, strict=True)
    ]
    spent, avoided = sum(days), sum(row["cost_avoided_usd"] for row in by_day)
    there, here = _sums(spent, 0.0), _sums(0.0, avoided)
    return {
        "object": "usage",
        "since": None,
        "totals": _sums(spent, avoided) | {"cost_reserved_usd": 0.0042},
        "by_model": [{"model": "hermes-4-405b", **there}, {"model": "hermes-tiny", **here}],
        "by_provider": [{"provider": "openrouter", **there}, {"provider": "local", **here}],
        "by_key": [
            {"key": "laptop", **_sums(0.7 * spent, avoided)},
            {"key": "", **_sums(0.3 * spent, 0.0)},
        ],
        "by_day": by_day,
        "budget": {"daily_usd": 0.06, "monthly_usd": 1.5, "per_request_usd": 0.05},
    }


def _sums(spent: float, avoided: float) -> Json:
    return {
        "requests": 12 + int(400 * spent),
        "prompt_tokens": 5210 + int(9e5 * spent),
        "completion_tokens": 2480 + int(4e5 * spent),
        "cost_usd": spent,
        "cost_reserved_usd": 0.0,
        "cost_uncertain_usd": 0.0,
        "cost_avoided_usd": avoided,
    }
