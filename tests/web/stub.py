"""The public API as the page sees it, with answers that are written down beforehand.

For what no real model can be made to say, and for endpoints that need a network or much money.
The last user message names the answer; everything that was asked is kept in `requests`.
"""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse

from runner.web import web_router

from . import figures

Json = dict[str, Any]
ROUTE: Json = {
    "served_by": "local",
    "model": "hermes-tiny",
    "quantization": "F16",
    "reasons": ["local: the weights are on this machine"],
    "attempts": [{"backend": "local", "outcome": "ok", "error": None, "ms": 812.5}],
    "emulated": [],
    "ignored": [],
    "cost_usd": 0.0,
    "cost_avoided_usd": 0.00021,
}
HOSTED: Json = {
    **ROUTE,
    "served_by": "openrouter",
    "model": "hermes-4-405b",
    "quantization": None,
    "reasons": ["openrouter: hermes-4-405b does not fit this machine"],
    "attempts": [
        {"backend": "local", "outcome": "does_not_fit", "error": "226 GB missing", "ms": 0.4},
        {"backend": "openrouter", "outcome": "ok", "error": None, "ms": 1630.0},
    ],
    "emulated": ["json_schema"],
    "ignored": ["min_p"],
    "cost_usd": 0.00184,
    "cost_avoided_usd": None,
}
TIMINGS: Json = {
    "cache_n": 18,
    "prompt_n": 41,
    "prompt_ms": 92.0,
    "prompt_per_second": 445.6,
    "predicted_n": 57,
    "predicted_ms": 720.0,
    "predicted_per_second": 79.1,
}


class Stub:
    """What the stub was asked, and how it answers."""

    def __init__(self, key: str | None = None) -> None:
        self.key = key
        self.reset()

    def reset(self) -> None:
        """Forget what was asked and what was to be said."""
        self.requests: list[Json] = []
        self.said: dict[str, list[Json]] = {}
        self.pauses_s: dict[str, float] = {}
        self.missing: set[str] = set()
        self.installed = {"hermes-tiny"}
        self.loaded = ["hermes-tiny"]
        self.crashes = 0
        self.more_cells: dict[str, int] = {}
        self.cancelled = threading.Event()
        self.started_s = time.monotonic()

    def say(self, question: str, *texts: str, pause_s: float = 0.0, hosted: bool = False) -> None:
        """Answer `question` with these pieces of text."""
        route, timings = (HOSTED, {}) if hosted else (ROUTE, {"timings": TIMINGS})
        provider = route["served_by"]
        chunks = [{"provider": provider, **delta(content=text)} for text in texts]
        self.said[question] = [*chunks, finish("stop"), closing(route, **timings)]
        self.pauses_s[question] = pause_s

    def play(self, question: str, *chunks: Json, pause_s: float = 0.0) -> None:
        """Answer `question` with these very chunks."""
        self.said[question] = list(chunks)
        self.pauses_s[question] = pause_s


def delta(**fields: Any) -> Json:
    """A chunk with one delta."""
    return {"choices": [{"index": 0, "delta": fields, "finish_reason": None}]}


def finish(reason: str) -> Json:
    """The chunk that says why the answer ended."""
    return {"choices": [{"index": 0, "delta": {}, "finish_reason": reason}]}


def closing(route: Json, **more: Any) -> Json:
    """The last chunk."""
    usage = {
        "prompt_tokens": 59,
        "completion_tokens": 57,
        "total_tokens": 116,
        "prompt_tokens_details": {"cached_tokens": 18},
        "completion_tokens_details": {"reasoning_tokens": 0},
        "cost": route["cost_usd"],
    }
    return {"choices": [], "usage": usage, "x_route": route, **more}


def call(name: str, arguments: str, call_id: str = "call_1") -> Json:
    """A chunk with a tool call."""
    function = {"name": name, "arguments": arguments}
    return delta(tool_calls=[{"index": 0, "id": call_id, "type": "function", "function": function}])


def error_chunk(message: str) -> Json:
    """The last event of a stream that failed."""
    return {"error": {"message": message, "type": "server_error", "code": "engine_crashed"}}


def error(status: int, message: str, code: str, **more: Any) -> JSONResponse:
    """OpenAI's envelope."""
    fields = {"message": message, "type": "error", "param": None, "code": code, **more}
    return JSONResponse({"error": fields}, status)


def create_stub_app(stub: Stub) -> FastAPI:
    """The page beside the stub."""
    app = FastAPI()
    app.include_router(web_router())
    app.include_router(chat_routes(stub))
    app.include_router(model_routes(stub))
    app.include_router(figure_routes(stub))

    @app.middleware("http")
    async def guard(request: Request, follow: Callable[[Request], Any]) -> Response:
        path = request.url.path
        is_open = path in ("/", "/health") or path.startswith("/static/")
        if path in stub.missing:
            return error(404, "Not Found", "not_found")
        if (
            stub.key
            and not is_open
            and request.headers.get("authorization") != f"Bearer {stub.key}"
        ):
            return error(401, "the API key is missing or wrong", "invalid_api_key")
        response: Response = await follow(request)
        return response

    return app


def chat_routes(stub: Stub) -> APIRouter:
    """Chat completions."""
    router = APIRouter()

    @router.post("/v1/chat/completions")
    async def chat(request: Request) -> Response:
        body = await request.json()
        stub.requests.append(body)
        question = text_of(body["messages"][-1])
        if question == "no route":
            reasons = ["local: 226 GB are missing", "openrouter: no key is set"]
            return error(503, "nothing may serve it", "no_route", reasons=reasons)
        chunks = stub.said.get(question) or stub.said[""]
        return StreamingResponse(frames(stub, question, chunks), media_type="text/event-stream")

    return router


def text_of(message: Json) -> str:
    """The text of a message, however it was sent."""
    content = message["content"]
    return content if isinstance(content, str) else str(content[0]["text"])


async def frames(stub: Stub, question: str, chunks: list[Json]) -> AsyncIterator[bytes]:
    """The chunks as server-sent events; notes when the client leaves early."""
    cancelled = stub.cancelled
    try:
        for chunk in chunks:
            yield b"data: " + json.dumps(chunk).encode() + b"\n\n"
            await asyncio.sleep(stub.pauses_s.get(question, 0.0))
        if "error" not in chunks[-1]:
            yield b"data: [DONE]\n\n"
    except (asyncio.CancelledError, GeneratorExit):
        cancelled.set()
        raise


def model_routes(stub: Stub) -> APIRouter:
    """What can be addressed, and what can be done with it."""
    router = APIRouter()

    @router.get("/v1/models")
    async def models() -> Json:
        return {"object": "list", "data": figures.models(stub.installed)}

    @router.get("/v1/plan")
    async def plan() -> Json:
        return {"machine": figures.MACHINE, "models": figures.plans()}

    @router.post("/v1/models/pull")
    async def pull(request: Request) -> Response:
        model = (await request.json())["model"]
        stub.requests.append({"pull": model})
        return StreamingResponse(pull_frames(stub, model), media_type="text/event-stream")

    @router.post("/v1/models/{verb}")
    async def change(verb: str, request: Request) -> Json:
        model = (await request.json())["model"]
        stub.requests.append({verb: model})
        if verb == "load":
            stub.loaded.append(model)
        elif model in stub.loaded:
            stub.loaded.remove(model)
        if verb == "remove":
            stub.installed.discard(model)
        return {"ok": True}

    return router


async def pull_frames(stub: Stub, model: str) -> AsyncIterator[bytes]:
    """A pull of 8 GB in twenty steps."""
    cancelled = stub.cancelled
    size, name = 8_000_000_000, f"{model}-Q4_K_M.gguf"
    pause_s = stub.pauses_s.get("pull", 0.02)
    base: Json = {"quantization": "Q4_K_M", "size_bytes": size, "model_id": model}
    events: list[Json] = [{"event": "resolved", "missing_bytes": size, **base}]
    for step in range(1, 21):
        done = size * step // 20
        events.append(
            {
                "event": "progress",
                "name": name,
                "file_bytes": done,
                "file_size_bytes": size,
                "total_bytes": done,
                "total_size_bytes": size,
                "bytes_per_s": 42_000_000.0,
                "left_s": (size - done) / 42_000_000,
            }
        )
    events.append({"event": "inplace", "name": name, "etag": "e"})
    events.append({"event": "pulled", "verified": True, **base})
    try:
        for event in events:
            if event["event"] == "pulled":
                stub.installed.add(model)
            yield b"data: " + json.dumps(event).encode() + b"\n\n"
            await asyncio.sleep(pause_s)
        yield b"data: [DONE]\n\n"
    except (asyncio.CancelledError, GeneratorExit):
        cancelled.set()
        raise


def figure_routes(stub: Stub) -> APIRouter:
    """Health, metrics, usage, providers."""
    router = APIRouter()

    @router.get("/health")
    async def health() -> Json:
        return figures.health(stub.loaded, stub.crashes, **stub.more_cells)

    @router.get("/metrics")
    async def metrics() -> Response:
        return PlainTextResponse(figures.metrics(time.monotonic() - stub.started_s))

    @router.get("/v1/usage")
    async def usage() -> Json:
        return figures.usage()

    @router.get("/v1/providers")
    async def providers() -> Json:
        return figures.providers()

    return router
