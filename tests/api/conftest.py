"""What the tests of the HTTP surface share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.serving import Server

from .caller import Caller


@pytest.fixture(scope="session")
def caller(shared_server: Server) -> Iterator[Caller]:
    """Requests to the shared server."""
    caller = Caller(shared_server)
    yield caller
    caller.http.close()
