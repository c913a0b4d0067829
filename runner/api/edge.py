"""What every endpoint needs of the house and of the request: reading, names, keys, counting.

Owns the crossing from HTTP to a request for the router. Invariant: an accepted request is
counted exactly once, with its outcome.
"""

from __future__ import annotations

import time
import uuid
from typing import TypeVar

from fastapi import Request

from runner.errors import UnsupportedParameterError
from runner.metrics import Metrics
from runner.services import Services
from runner.types import Event, Finished, GenerateRequest, SamplingParams

from . import body
from .auth import Keyring
from .body import WireModel

Body = TypeVar("Body", bound=WireModel)
MAX_REQUEST_ID = 128


class Edge:
    """The services as the endpoints see them."""

    def __init__(self, services: Services, keyring: Keyring) -> None:
        self.services = services
        self.keyring = keyring

    async def read(self, request: Request, model: type[Body]) -> Body:
        """The checked body. Raises InvalidRequestError or RequestTooLargeError."""
        limit = self.services.settings.server.max_body_bytes
        asked = await body.read(request, model, max_bytes=limit)
        unknown = asked.unknown_fields()
        if unknown and self.is_strict(request):
            raise UnsupportedParameterError(
                f"the parameter {unknown[0]!r} cannot be honoured here; leave it out, or do not "
                "send X-Runner-Strict",
                param=unknown[0],
            )
        return asked

    def model_id(self, name: str) -> str:
        """The catalogue id of a model's name. Raises ModelNotFoundError."""
        return self.services.shelf.model_id(name)

    def defaults(self, name: str) -> SamplingParams:
        """The model's recommended sampling."""
        return self.services.sampling_defaults(self.model_id(name))

    def tenant(self, request: Request) -> str:
        """The caller's name."""
        return self.keyring.name_of(request)

    @staticmethod
    def request_id(request: Request) -> str:
        """The caller's own id for the request, else a fresh one."""
        given = request.headers.get("x-request-id", "")
        if given and len(given) <= MAX_REQUEST_ID and given.isascii() and given.isprintable():
            return given
        return f"req_{uuid.uuid4().hex}"

    @staticmethod
    def is_strict(request: Request) -> bool:
        """Whether parameters that cannot be honoured are an error."""
        return request.headers.get("x-runner-strict", "").lower() in ("1", "true", "yes")

    def observe(self, wanted: GenerateRequest) -> Observation:
        """Begin counting a request."""
        return Observation(self.services.metrics, wanted)


class Observation:
    """One request's way into the metrics."""

    def __init__(self, metrics: Metrics, wanted: GenerateRequest) -> None:
        self._metrics = metrics
        self.request_id = wanted.id
        self._route = wanted.route
        self._begun_s = time.monotonic()
        self._first_s: float | None = None
        self._served_by = "none"
        self._outcome = "failed"
        metrics.open_requests.inc()

    def see(self, event: Event, served_by: str) -> None:
        """Note what an event says about speed, tokens and cost."""
        now = time.monotonic()
        self._served_by = served_by
        if self._first_s is None:
            self._first_s = now
            self._metrics.first_token_s.labels(served_by).observe(now - self._begun_s)
        if isinstance(event, Finished):
            usage = event.usage
            tokens = self._metrics.tokens
            tokens.labels(served_by, "prompt").inc(usage.prompt_tokens)
            tokens.labels(served_by, "cached").inc(usage.cached_tokens)
            tokens.labels(served_by, "completion").inc(usage.completion_tokens)
            if usage.completion_tokens > 1:
                gap = (now - self._first_s) / (usage.completion_tokens - 1)
                self._metrics.between_tokens_s.labels(served_by).observe(gap)
            if usage.cost_usd:
                self._metrics.cost_usd.labels(served_by).inc(usage.cost_usd)

    def succeed(self) -> None:
        """The answer is complete."""
        self._outcome = "ok"

    def end(self, error: BaseException | None) -> None:
        """The request is over; `error` is what ended it, if anything did."""
        if error is not None:
            is_ours = isinstance(error, Exception)
            self._outcome = type(error).__name__ if is_ours else "cancelled"
        self._metrics.open_requests.dec()
        self._metrics.requests.labels(self._route, self._served_by, self._outcome).inc()
