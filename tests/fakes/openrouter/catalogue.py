"""The reading endpoints: catalogue, providers, key, credits and the audit record.

Pure: a path and the fake's state in, a reply out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .fault import envelope
from .gate import NUSD
from .profile import Model, endpoint_row, model_row

if TYPE_CHECKING:
    from .server import FakeOpenRouter

Reply = tuple[int, dict[str, Any], dict[str, str]]
CACHED = {"Cache-Control": "public, max-age=300, stale-while-revalidate=3600"}


def reads(fake: FakeOpenRouter, path: str, query: dict[str, str], has_key: bool) -> Reply:
    """The reply to a GET."""
    parts = path.strip("/").split("/")
    if parts[-1] in ("user", "key", "credits", "generation"):
        return _read_private(fake, parts, query, has_key)
    models = fake.profile.models
    match parts:
        case ["models"]:
            return 200, _page(fake, query), CACHED
        case ["models", author, slug, "endpoints"]:
            return _of_model(models, f"{author}/{slug}", _endpoints)
        case ["model", author, slug]:
            return _of_model(models, f"{author}/{slug}", model_row)
        case ["endpoints", "zdr"]:
            rows = [endpoint_row(m, e) for m in models for e in m.endpoints if e.has_zdr]
            return 200, {"data": rows}, {}
        case ["providers"]:
            names = sorted({e.slug for m in models for e in m.endpoints})
            return 200, {"data": [{"name": name, "slug": name} for name in names]}, {}
    return 404, envelope(404, "Not found"), {}


def _read_private(
    fake: FakeOpenRouter, parts: list[str], query: dict[str, str], has_key: bool
) -> Reply:
    if not has_key:
        return 401, envelope(401, "No auth credentials found"), {}
    match parts:
        case ["models", "user"]:
            return 200, _page(fake, query), {}
        case ["key"]:
            usage = fake.billed_nusd / NUSD
            return 200, {"data": {"label": "fake", "usage": usage, "usage_daily": usage}}, {}
        case ["generation"]:
            return _generation(fake, query.get("id", ""))
    return 403, envelope(403, "Only management keys can do this"), {}


def _page(fake: FakeOpenRouter, query: dict[str, str]) -> dict[str, Any]:
    rows = [model_row(model, fake.price_scale) for model in fake.profile.models]
    wanted = query.get("supported_parameters")
    if wanted:
        rows = [row for row in rows if wanted in row["supported_parameters"]]
    offset, limit = int(query.get("offset", 0)), int(query.get("limit", 500))
    return {"data": rows[offset : offset + limit], "total_count": len(rows), "links": {}}


def _of_model(models: tuple[Model, ...], name: str, describe: Any) -> Reply:
    for model in models:
        if model.id == name:
            return 200, {"data": describe(model)}, {}
    return 404, envelope(404, "Model not found"), {}


def _endpoints(model: Model) -> dict[str, Any]:
    return {"id": model.id, "endpoints": [endpoint_row(model, e) for e in model.endpoints]}


def _generation(fake: FakeOpenRouter, generation_id: str) -> Reply:
    if fake.generation_after > 0:
        fake.generation_after -= 1
        return 404, envelope(404, "Generation not found"), {}
    record = fake.generations.get(generation_id)
    if record is None:
        return 404, envelope(404, "Generation not found"), {}
    return 200, {"data": record}, {}
