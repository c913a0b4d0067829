"""The application: endpoints, keys, hosts and errors put together over the services.

Owns the order of the layers around the endpoints. Every route but `/health` is behind the key.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import Depends, FastAPI, Request

from runner import __version__
from runner.services import Services

from . import errors
from .auth import Keyring
from .chat import chat_router
from .completions import completions_router
from .edge import Edge
from .embeddings import embeddings_router
from .health import health_router
from .manage import manage_router
from .models import models_router
from .plan import plan_router
from .providers import providers_router
from .pull import pull_router
from .route_explain import explain_router
from .tokens import tokens_router
from .usage import usage_router

OPEN_PATHS = frozenset({"/health"})


def create_app(services: Services) -> FastAPI:
    """The ASGI application over services that are already started."""
    server = services.settings.server
    keys = dict(server.api_keys)
    if server.api_key is not None:
        keys["default"] = server.api_key
    edge = Edge(services, Keyring(keys))

    async def check_key(request: Request) -> None:
        if request.url.path not in OPEN_PATHS:
            edge.keyring.name_of(request)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        yield
        await services.stop()

    app = FastAPI(
        title="hermes-runner",
        version=__version__,
        lifespan=lifespan,
        dependencies=[Depends(check_key)],
        docs_url=None,
        redoc_url=None,
    )
    errors.install(app)
    for make in (
        chat_router,
        completions_router,
        embeddings_router,
        tokens_router,
        manage_router,
        plan_router,
        providers_router,
        explain_router,
        models_router,
        health_router,
    ):
        app.include_router(make(edge))
    app.include_router(usage_router(services.ledger))
    app.include_router(
        pull_router(
            edge.keyring,
            services.make_puller,
            services.planner.fits_bytes,
            on_pulled=lambda _pulled: services.shelf.refresh(),
        )
    )
    return app
