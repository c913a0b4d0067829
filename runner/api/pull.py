"""`POST /v1/models/pull`: fetch a model from the API, its progress as server-sent events.

Owns the bodies and the frames. Only the server's own key may ask: a pull fills the disk.
Invariant: a client that leaves ends the pull, and what was fetched is kept.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Callable, Iterator

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from runner.errors import InvalidRequestError
from runner.hub import (
    Chooser,
    Progress,
    Pulled,
    Puller,
    PullEvent,
    Waiting,
    describe,
    in_thread,
)
from runner.types import JsonObject

from . import sse
from .auth import Keyring
from .body import WireModel, openapi, read
from .errors import AuthenticationError

ADMIN_KEYS = frozenset({"default", "admin"})
LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost", "testclient"})
MAX_BODY_BYTES = 65_536
PROGRESS_EVERY_S = 0.5


class PullBody(WireModel):
    """What to pull."""

    model: str
    stream: bool = True
    trust_hub: bool = False


def pull_router(
    keyring: Keyring,
    make_puller: Callable[[], Puller],
    choose: Chooser,
    on_pulled: Callable[[Pulled], None] = lambda pulled: None,
) -> APIRouter:
    """The endpoint; `choose` picks a quantisation where none is named, `on_pulled` is told of
    every model that is newly here."""
    router = APIRouter(tags=["models"])

    @router.post("/v1/models/pull", openapi_extra=openapi(PullBody))
    async def pull(request: Request) -> Response:
        """Fetch a model; `MODEL`, `MODEL:QUANT` or `hf.co/OWNER/REPO[:QUANT]`."""
        check_admin(keyring, request)
        body = await read(request, PullBody, max_bytes=MAX_BODY_BYTES)
        if not body.model.strip():
            raise InvalidRequestError("model: name the model to pull", param="model")
        events = make_puller().pull(body.model, choose=choose, trust_hub=body.trust_hub)
        if body.stream:
            return sse.EventStream(_frames(events, on_pulled), {})
        last: JsonObject = {}
        async for event in in_thread(events):
            if isinstance(event, Pulled):
                on_pulled(event)
                last = describe(event)
        return JSONResponse(last)

    return router


def check_admin(keyring: Keyring, request: Request) -> None:
    """Raise `AuthenticationError` unless it is the server's own key.

    That is `server.api_key` or the key named `admin`; where no key is configured at all, anyone
    on this very machine.
    """
    name = keyring.name_of(request)
    host = request.client.host if request.client else ""
    if (keyring.is_open and host in LOOPBACK) or name in ADMIN_KEYS:
        return
    raise AuthenticationError(
        "pulling models takes the server's own API key (server.api_key, or the key named admin)"
    )


async def _frames(
    events: Iterator[PullEvent], on_pulled: Callable[[Pulled], None]
) -> AsyncGenerator[bytes]:
    """The events as frames, progress at most twice a second."""
    last_s = 0.0
    async for event in in_thread(events):
        if isinstance(event, Progress | Waiting):
            if time.monotonic() - last_s < PROGRESS_EVERY_S:
                continue
            last_s = time.monotonic()
        if isinstance(event, Pulled):
            on_pulled(event)
        yield sse.frame(describe(event))
    yield sse.DONE
