"""The application: endpoints, keys, hosts and errors put together over the services.

Owns the order of the layers around the endpoints: visitors, origins, keys, room, allowance. Every
route but `/health` and the page's files is behind the key, whoever mounts it.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware

from runner import __version__
from runner.config import ServerSettings
from runner.ledger import Budget
from runner.services import Services

from . import allowance, errors
from .allowance import AllowanceGuard, Allowances
from .auth import Keyring
from .chat import chat_router
from .completions import completions_router
from .edge import Edge
from .embeddings import embeddings_router
from .health import health_router
from .limits import Admission, Gate, KeyGuard, VisitorGuard, Visitors
from .manage import manage_router
from .models import models_router
from .plan import plan_router
from .providers import providers_router
from .pull import pull_router
from .route_explain import explain_router
from .tokens import tokens_router
from .usage import usage_router

METHODS = ("GET", "POST", "DELETE")
SENT_HEADERS = ("Authorization", "X-Api-Key", "X-Request-Id", "X-Runner-Strict")
READ_HEADERS = ("Retry-After", "X-Request-Id", "X-Runner-Served-By", *allowance.HEADERS)


def create_app(services: Services) -> FastAPI:
    """The ASGI application over services that are already started."""
    server = services.settings.server
    edge = Edge(services, Keyring.of(server), Allowances(server.api_keys, time.monotonic))
    services.ledger.cap_keys({name: Budget.of(key) for name, key in server.api_keys.items()})

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        yield
        await services.stop()

    app = FastAPI(
        title="hermes-runner",
        version=__version__,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
    )
    errors.install(app)
    guard(app, server, edge.keyring, edge.allowances)
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
            services.planner.choose,
            on_pulled=lambda _pulled: services.shelf.refresh(),
        )
    )
    return app


def guard(app: FastAPI, server: ServerSettings, keyring: Keyring, allowances: Allowances) -> None:
    """Put the layers around the application; the last one added is the first one met.

    The gate is kept as `app.state.gate`, for whoever ends the server.
    """
    app.state.gate = Gate(server.max_open_requests)
    app.add_middleware(AllowanceGuard, keyring=keyring, allowances=allowances)
    app.add_middleware(Admission, gate=app.state.gate)
    app.add_middleware(KeyGuard, keyring=keyring)
    if server.allowed_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=server.allowed_origins,
            allow_methods=METHODS,
            allow_headers=SENT_HEADERS,
            expose_headers=READ_HEADERS,
        )
    app.add_middleware(VisitorGuard, visitors=Visitors.of(server))
