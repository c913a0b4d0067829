"""`runner` with the page on it: what the command itself does once it mounts the page."""

from __future__ import annotations

from fastapi import FastAPI

from runner.cli import main, server
from runner.services import Services
from runner.web import web_router

create_app = server.create_app


def create_app_with_page(services: Services) -> FastAPI:
    """The API, and the page beside it."""
    app = create_app(services)
    app.include_router(web_router())
    return app


if __name__ == "__main__":
    server.create_app = create_app_with_page
    main()
